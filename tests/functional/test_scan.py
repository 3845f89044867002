"""The blocked scan against the loop that it stands for, at every length about its blocks, backwards, and doubled."""

import pytest
import torch

from dsptorch.functional import scan as module
from dsptorch.functional.scan import scan
from tests.functional.recurrence_cases import KINDS
from tests.tolerances import assert_close

each_kind = pytest.mark.parametrize("kind", KINDS)
TIMES = (0, 1, 2, 15, 16, 17, 31, 32, 33, 48, 100)


def check_scan(kind, time, run=None, batch=3):
    inputs = kind.inputs(time, batch, requires_grad=False)
    assert_close((run or kind.run)(*inputs), kind.loop(*inputs))


@each_kind
def test_is_the_loop(kind):
    for time in TIMES:
        check_scan(KINDS[kind], time)


@pytest.mark.parametrize("time", [1000, 5000])
def test_is_the_loop_at_several_rates(time):
    """The ends of the blocks of 16 or 32 samples are blocks again."""
    kind = KINDS["one pole, state"]
    x, a, state = kind.inputs(time, 1, requires_grad=False)
    expected, y = [], state
    for now in x.unbind(1):
        y = now + a[0, 0] * y
        expected.append(y)
    assert_close(kind.run(x, 2 * a, state), kind.run(x, 2 * a, state))
    assert_close(kind.run(x, a, state), torch.stack(expected, 1))


def _powers_late(a, count):
    return powers(torch.cat([a], 0), count + 1)[1:]


def _no_state(ends, state, reverse):
    return neighbours(ends, None, reverse)


def _forgets_segments(y, powers, before, seen):
    return add(y, powers, before, None)


def _the_other_way(ends, state, reverse):
    return neighbours(ends, state, not reverse)


powers, neighbours, add = module.powers_of, module._neighbours, module._add


@pytest.mark.parametrize(
    ("kind", "name", "broken"),
    [
        ("one pole", "powers_of", _powers_late),
        ("one pole, state", "_neighbours", _no_state),
        ("coupled", "_neighbours", _the_other_way),
        ("one pole, segments, state", "_add", _forgets_segments),
    ],
    ids=["a power too much", "no state", "the block after", "no borders"],
)
def test_the_loop_catches(kind, name, broken, monkeypatch):
    monkeypatch.setattr(module, name, broken)
    with pytest.raises(AssertionError, match="differs at"):
        check_scan(KINDS[kind], 100)


@each_kind
def test_backwards_is_the_adjoint(kind):
    """<scan(x), v> = <x, scan backwards(v)> with transposed matrices."""
    kind = KINDS[kind]._replace(state=False, varying=False, gain=False)
    for time in TIMES[1:]:
        x, a = kind.inputs(time, requires_grad=False)
        v = torch.randn_like(x)
        ids = kind.segment_ids(*x.shape[:2])
        begins = torch.cat([torch.zeros(2, 1, dtype=torch.bool), ids[:, 1:] != ids[:, :-1]], 1)
        forwards, _ = scan(x, a, None, begins)
        backwards, _ = scan(v, a.transpose(1, 2), None, torch.roll(begins, -1, 1), reverse=True)
        assert_close((forwards * v).sum(), (x * backwards).sum(), scale=10.0)


@pytest.mark.parametrize("kind", [name for name in KINDS if KINDS[name].order == 1])
def test_doubling_is_the_loop(kind):
    """What stands at the last rate of a program for any length."""

    def doubled(x, a, state=None, begins=None, reverse=False, gain=None, narrow=False):
        return module._doubled(x if gain is None else gain * x, a, state, begins, reverse), None

    for time in (1, 2, 5, 33, 100):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("dsptorch.functional.recurrence.scan", doubled)
            check_scan(KINDS[kind], time)


def test_memory_of_its_own():
    for time in TIMES:
        x = torch.randn(2, time, 1, 3)
        before = x.clone()
        y, _ = scan(x, torch.full((1, 1, 1, 3), 0.5))
        y += 1
        assert torch.equal(x, before)


@pytest.mark.parametrize("half_life", [8.0, 1e3, 1e4])
def test_float32_loses_no_more_than_the_pole_does(half_life):
    """Beside float64 with the same rounded pole: an error of eps times the half-life."""
    a = torch.tensor([2 ** (-1 / half_life)])
    x = torch.randn(1, 20000, 1, 1)
    y, exact = (
        scan(x.to(t), a.to(t).reshape(1, 1, 1, 1))[0].double() for t in (torch.float32, torch.float64)
    )
    error = (y - exact).abs().max() / exact.abs().max()
    assert error < 2**-23 * max(4, half_life**0.5)


def test_no_subnormal_powers():
    """They would take many times as long, and stand for nothing."""
    a = torch.tensor([1e-3, 0.5]).reshape(1, 1, 2)
    for dtype in (torch.float32, torch.float64):
        found = module.powers_of(a.to(dtype), 32)
        assert ((found == 0) | (found.abs() > torch.finfo(dtype).tiny)).all()
        assert (found[:4] > 0).all()


@pytest.mark.parametrize("varying", [False, True])
def test_what_grows_out_of_all_bounds_spares_what_came_before(varying):
    """Powers of the coefficient overflow long before the first states do."""
    x = torch.zeros(1, 2000, 1, 1)
    x[:, 700] = 1
    a = torch.full((1, 2000, 1, 1, 1, 1) if varying else (1, 1, 1, 1), 1.7)
    y = scan(x, a)[0].flatten()
    assert not y[:700].any()
    assert_close(y[700:850], 1.7 ** torch.arange(150), scale=1e4)
    assert not y.isnan().any()
