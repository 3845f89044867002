"""Hyperparameters of integers."""

import copy
import inspect
import io
import math
import warnings

import pytest
import torch
from hypothesis import strategies as st

from dsptorch import BoundedHyperparam, Multirate
from tests.strategies import fails, holds
from tests.tolerances import assert_same


def integer(init=2.4, low=1, high=8, **kwargs):
    return BoundedHyperparam(init, low, high, integer=True, **kwargs)


@st.composite
def ranges(draw):
    """(low, high, an integer in it)."""
    low = draw(st.integers(-300, 300))
    high = low + draw(st.integers(1, 300))
    return low, high, draw(st.integers(low, high))


def check_exact(settle, case):
    """Exactly one integer: the value, its weights, after casts and a trip through a file."""
    low, high, target = case
    h = integer(target, low, high)
    settle(h, target)
    buffer = io.BytesIO()
    torch.save(h.state_dict(), buffer)
    buffer.seek(0)
    other = integer(low, low, high)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    for twin in (h, other, copy.deepcopy(h).double(), copy.deepcopy(h).half().float()):
        assert twin.value.item() == twin().item() == target
        weights = twin.weights()[0]
        assert weights[target - low] == 1
        assert weights.sum() == weights.count_nonzero() == 1
        assert twin.raw.isfinite().all()


def test_a_hardened_one_is_exact():
    holds(lambda case: check_exact(lambda h, target: h.harden(), case), ranges(), times=2)
    holds(lambda case: check_exact(lambda h, t: h.harden(lambda: abs(h.value - t), "all"), case), ranges())


def test_what_is_not_hardened_or_not_snapped_is_caught(monkeypatch):
    fails(lambda case: check_exact(lambda h, target: None, case), ranges())  # a bound is inside
    monkeypatch.setattr("dsptorch.hyperparams.bounded.snapped", lambda value, low, high: value)
    fails(lambda case: check_exact(lambda h, target: h.harden(), case), ranges(), times=2)


def test_an_integer_inside_is_exact_from_the_start_and_learns():
    h = integer(3)
    assert h.value.item() == 3
    (h.weights()[0] @ torch.arange(1.0, 9.0).square()).backward()
    assert h.raw.grad.item() > 0


@pytest.mark.parametrize(("low", "high", "inside"), [(1, 3, 0.02), (1, 8, 0.07), (0, 1000, 0.1)])
def test_an_init_on_a_bound_is_inside_and_that_integer_the_nearest(low, high, inside):
    for bound, value in ((low, low + inside), (high, high - inside)):
        h = integer(bound, low, high)
        assert h.value.item() == pytest.approx(value, rel=1e-4)
        assert h.nearest.item() == bound
        h.set_((low + high) / 2)
        h.set_(bound)
        assert h.nearest.item() == bound
        h.weights().square().sum().backward()
        assert h.raw.grad.abs().item() > 0


def test_the_value_moves_between_integers():
    h = integer(2.4)
    assert h.value.item() == pytest.approx(2.4)
    assert h.nearest.item() == 2
    assert h.weights()[0, 1:3].tolist() == pytest.approx([0.6, 0.4])
    assert repr(h) == "BoundedHyperparam(2.4, low=1, high=8, integer=True)"
    assert integer(shape=(2, 3)).weights().shape == (2, 3, 8)
    assert integer(device="meta").weights().shape == (1, 8)
    assert integer(device="meta").first.item() == pytest.approx(2.4)


# harden


@pytest.mark.parametrize(("init", "nearest"), [(2.4, 2), (2.6, 3), (1, 1), (8, 8), (5, 5)])
def test_hardens_to_the_nearest_and_learns_again_when_told(init, nearest):
    h = integer(init)
    assert h.harden() is h
    assert h.value.item() == nearest
    assert not h.raw.requires_grad
    h.set_(2.5)
    h.requires_grad_(True)
    h().sum().backward()
    assert h.raw.grad.item() > 0.1


@pytest.mark.parametrize(
    ("init", "high", "candidates", "best", "compared", "chosen"),
    [
        (2.4, 8, "neighbours", 5, [2, 3], 3),
        (2.6, 8, "neighbours", 1, [3, 2], 2),
        (4, 8, "neighbours", 5, [4], 4),
        (7.7, 8, "neighbours", 9, [8, 7], 8),
        (2.4, 4, "all", 4, [2, 3, 1, 4], 4),
        (2.6, 8, "neighbours", 2.5, [3, 2], 3),  # of equals the nearest
    ],
)
def test_compares_the_neighbours_or_all(init, high, candidates, best, compared, chosen):
    h, seen = integer(init, 1, high), []

    def loss():
        assert not torch.is_grad_enabled()
        assert h.weights().count_nonzero() == 1
        seen.append(h.value.item())
        return (h() - best).square()

    h.harden(loss, candidates)
    assert (seen, h.value.item()) == (compared, chosen)


def raising():
    raise KeyError("mine")


@pytest.mark.parametrize(
    ("loss", "candidates", "kind", "message"),
    [
        (raising, "all", KeyError, "mine"),
        (lambda: math.nan, "neighbours", ValueError, r"finite.*got nan at 2; nothing has changed"),
        (iter([0.0, math.nan]).__next__, "neighbours", ValueError, "got nan at 3"),
        (lambda: torch.tensor(math.inf), "all", ValueError, r"finite.*got inf at 2"),
        (lambda: torch.zeros(2), "all", TypeError, r"one number, got tensor\(\[0\., 0\.\]\) at 2; average"),
        (lambda: None, "all", TypeError, "one number, got None"),
        (lambda: 0.0, "some", ValueError, "'neighbours' or 'all', got 'some'"),
        (None, "all", ValueError, "needs a loss"),
    ],
)
def test_a_failure_changes_nothing(loss, candidates, kind, message):
    h = integer(2.4)
    before = h.raw.detach().clone()
    with pytest.raises(kind, match=message):
        h.harden(loss, candidates)
    assert_same(h.raw.detach(), before)
    assert h.raw.requires_grad


def test_hardens_several_without_a_loss():
    h = integer(torch.tensor([1.2, 4.7, 8.0]))
    with pytest.raises(ValueError, match=r"one value, got shape \(3,\)"):
        h.harden(lambda: 0.0)
    assert h.harden().value.tolist() == [1, 5, 8]


# In layers


def test_a_real_one_can_be_looked_at_by_tools():
    assert "value" in dict(inspect.getmembers(BoundedHyperparam(0.4, 0.2, 0.6)))
    layer, x = Multirate(4).eval(), torch.randn(1, 9, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is deprecated, and warns of every number that it fixes
        assert torch.allclose(torch.jit.trace(layer, x)(x), layer(x))


def test_compact_keeps_frozen_taps_frozen():
    layer = Multirate(4, integer(2, 1, 3))
    assert "downsample.raw" in layer.state_dict()
    layer.low.requires_grad_(False)
    assert [p.requires_grad for p in (layer.compact().low, layer.compact().recon)] == [False, True]
