"""The kernels of the recurrence against PyTorch's path: halves and whole numbers, which float32 holds exactly."""

from typing import NamedTuple

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

import dsptorch
from dsptorch.functional import linear_recurrence
from dsptorch.functional.gpu import choice, recurrence
from dsptorch.functional.recurrence import recur
from tests.functional.gpu.planted import counted, plant
from tests.strategies import fails, holds
from tests.tolerances import assert_close


class Case(NamedTuple):
    """A signal, coefficients, a state, a gain, the gradient of the output, borders, and how the work is cut."""

    x: Tensor
    a: Tensor
    state: Tensor | None
    gain: Tensor | None
    v: Tensor
    begins: Tensor | None
    programs: int
    whole: int
    lanes: int
    loaded: int

    def run(self, device: str, dtype: torch.dtype) -> list[Tensor]:
        """The output, the last state, and the gradients of all that has one."""
        wide = torch.promote_types(dtype, torch.float32)
        given = [self.x.to(device, dtype, copy=True).requires_grad_()]
        for part in (self.a, self.state, self.gain):
            given.append(None if part is None else part.to(device, wide, copy=True).requires_grad_())
        x, a, state, gain = given
        begins = None if self.begins is None else self.begins.to(device)
        y, last = recur(x, a, state, begins, gain)
        assert y.dtype == wide
        (y * self.v.to(y)).sum().backward()
        return [y.detach(), last.detach(), *(part.grad for part in given if part is not None)]


@st.composite
def cases(draw):
    """No sample, one, or more than a chunk; more channels than a tile; constant or not, with and without the rest."""
    batch, time = draw(st.integers(1, 2)), draw(st.sampled_from([9, 5, 9, 1, 0]))
    channels = draw(st.sampled_from([1, 3]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))

    def random(*shape, low=-4, high=5):
        return torch.randint(low, high, shape, generator=generator).double()

    shape = draw(st.sampled_from([(), (channels,), (batch, time, channels)]))
    return Case(
        random(channels, batch, time).permute(1, 2, 0),
        random(*shape, low=-2, high=3) / 2,
        random(batch, channels) if draw(st.booleans()) else None,
        random(channels) if draw(st.booleans()) else None,
        random(batch, time, channels),
        random(batch, time, low=0, high=4) == 0 if draw(st.sampled_from([True, False, True])) else None,
        draw(st.sampled_from([99, 1])),
        draw(st.sampled_from([2, 4])),
        draw(st.sampled_from([16, 2, 16])),
        draw(st.sampled_from([1, 16])),
    )


def check(case: Case, device: str, dtype: torch.dtype) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice, "PROGRAMS", case.programs)
        patch.setattr(recurrence, "WHOLE", case.whole)
        patch.setattr(recurrence, "LANES", case.lanes)
        patch.setattr(recurrence, "LOADED", case.loaded)
        patch.setattr(recurrence, "SHORTEST", 2)
        found = case.run(device, dtype)
        patch.setattr(choice, "DEVICES", set())
        expected = case.run("cpu", torch.float64)
    for number, (one, other) in enumerate(zip(found, expected, strict=True)):
        # Gradients of a signal of half precision are rounded to it.
        assert_close(one.cpu(), other, scale=10, what=f"result {number}")


def test_equals_the_torch_path(device):
    dtypes = st.sampled_from([torch.float32, torch.bfloat16, torch.float16, torch.float64])
    holds(lambda case, dtype: check(case, device, dtype), cases(), dtypes, times=2)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("if REVERSE else", "if False else"),
        ("(u[0] * g,)", "u"),
        ("(chunks - 1) + number - 1)", "(chunks - 1) + 0 * number)"),
        ("has_channel & (number == 0)", "has_channel"),
        ("start + begin + k == time - 1", "start + begin + k == 0"),
        ("columns = product(m, columns, zero)", "columns = columns"),
        ("state = unless(border[0] != 0, state, u)", "state = state"),
        ("any_begun |=", "any_begun &="),
        ("tl.where(follows, state[0]", "tl.where(is_run, state[0]"),
        ("other[1].to(SUM)", "other[0].to(SUM)"),
        ("state[i] * g if gain", "state[i] * 1 if gain"),
        ("now = coming\n", "now = coming if begin == 0 else now\n"),
    ],
)
def test_a_planted_bug_is_caught(device, monkeypatch, tmp_path, old, new):
    plant(monkeypatch, tmp_path, "recurrence", old, new)
    fails(lambda case: check(case, device, torch.float64), cases(), times=4)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("m[0] * y[0] + u[0],", "y[0] + u[0],"),
        ("for _ in range(doublings)", "for _ in range(0 * doublings)"),
        ("tl.where(begun, others[i], numbers[i])", "numbers[i]"),
    ],
)
def test_a_bug_in_its_arithmetic_is_caught(device, monkeypatch, tmp_path, old, new):
    plant(monkeypatch, tmp_path, "matrices", old, new)
    fails(lambda case: check(case, device, torch.float64), cases(), times=4)


def test_a_thread_takes_as_many_channels_as_it_loads_at_once(device, monkeypatch):
    monkeypatch.setattr(recurrence, "MANY", 0)
    x, a = torch.randn(2, 9, 48, device=device), torch.rand(16, device=device)
    parts = {"aligned": x[..., :16], "apart": x[..., ::3], "behind": x[..., 1:17]}
    numbers = {
        name: recurrence._neighbours(part.unsqueeze(2), a[None, None, None]) for name, part in parts.items()
    }
    assert numbers == {"aligned": 4, "apart": 1, "behind": 1}
    found = [linear_recurrence(part, a) for part in parts.values()]
    monkeypatch.setattr(choice, "DEVICES", set())
    for part, y in zip(parts.values(), found, strict=True):
        assert_close(y, linear_recurrence(part, a))


def test_the_gradients_take_three_launches_more(device, monkeypatch):
    """Those that can be differentiated again are sums of products of the adjoint, and equal."""
    monkeypatch.setattr(recurrence, "WHOLE", 4)
    monkeypatch.setattr(recurrence, "SHORTEST", 2)
    x, a, gain = (torch.rand(shape, device=device, requires_grad=True) for shape in [(2, 9, 3), (3,), (3,)])
    y = recur(x, a, None, None, gain)[0].square().sum()
    launched = counted(monkeypatch, "recurrence", "chunk_kernel")
    found = torch.autograd.grad(y, (x, a, gain), retain_graph=True)
    assert len(launched) == 3
    for one, other in zip(found, torch.autograd.grad(y, (x, a, gain), create_graph=True), strict=True):
        assert_close(one, other)
        assert other.requires_grad


@pytest.mark.parametrize("gained", [False, True])
def test_the_sums_of_an_adjoint_are_a_torch_operator(device, gained):
    v, y = torch.randn(2, 9, 1, 3, device=device), torch.randn(2, 9, 1, 3, device=device)
    a, gain = torch.rand(1, 1, 1, 3, device=device), torch.rand(3, device=device) if gained else None
    given = v, a, None, True, gain, y, y if gained else None, torch.bfloat16
    torch.library.opcheck(recurrence.scan_adjoint, given)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("varying", [False, True])
def test_a_border_between_signals_stops_what_is_not_finite(device, varying):
    x, begins = torch.ones(1, 12, 2, device=device), torch.zeros(1, 12, dtype=torch.bool, device=device)
    x[:, 3:5], begins[:, 5] = float("inf"), True
    a = torch.full((1, 12, 2) if varying else (2,), 0.5, device=device)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recurrence, "WHOLE", 4)
        patch.setattr(recurrence, "SHORTEST", 2)
        y, last = recur(x, a, None, begins)
    assert y[:, :3].isfinite().all()
    assert y[:, 5:].isfinite().all()
    assert last.isfinite().all()


def test_the_longest_average_is_as_exact_as_in_the_loop(device):
    """Its pole is 1 - 1e-5: an error of 3e-8 a step would be one of 3e-3 of the average."""
    layer, x = dsptorch.EMA(1, half_life=65536.0).to(device), torch.ones(1, 600, 1, device=device)
    a = torch.exp2(torch.tensor(-1 / 65536.0)).double()
    expected = 1 - a ** torch.arange(1, 601, dtype=torch.float64)
    found = layer(x).flatten().double().cpu()
    assert ((found - expected) / expected).abs().max() < 2e-5


def test_chunks_equal_the_whole(device):
    x, a = torch.randn(2, 9, 3, device=device), torch.rand(3, device=device)
    whole = linear_recurrence(x, a)
    first, zf = linear_recurrence(x[:, :4], a, zi=torch.zeros(2, 3, device=device))
    rest, _ = linear_recurrence(x[:, 4:], a, zi=zf)
    assert_close(torch.cat([first, rest], 1), whole)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_output_is_rounded_once_and_its_state_not_at_all(device, dtype):
    x, a, gain = (
        torch.randn(2, 9, 3, device=device).to(dtype),
        torch.rand(3, device=device),
        torch.rand(3, device=device),
    )
    a, x = a.requires_grad_(), x.requires_grad_()
    y, last = recur(x, a, None, None, gain, narrow=True)
    exact, state = recur(x.detach(), a.detach(), None, None, gain)
    assert (y.dtype, last.dtype) == (dtype, torch.float32)
    assert_close(y, exact.to(dtype), scale=2)  # the interpreter cuts bfloat16 off
    assert_close(last, state)
    found = torch.autograd.grad(y.float().square().sum() + last.sum(), (x, a))
    y, last = recur(x, a, None, None, gain)
    for one, other in zip(found, torch.autograd.grad(y.square().sum() + last.sum(), (x, a)), strict=True):
        assert_close(one, other.to(one), dtype=dtype, scale=10)
    fixed = recur(x, a.detach(), None, None, gain, narrow=True)[0].sum()  # its gradient is one pass
    wide = recur(x, a.detach(), None, None, gain)[0].sum()
    assert_close(*(torch.autograd.grad(z, x)[0] for z in (fixed, wide)))


def test_is_one_operator_to_a_compiler(device):
    layer, x = dsptorch.EMA(4).to(device), torch.randn(2, 6, 4, device=device)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    for run in (layer, compiled):
        layer.zero_grad()
        run(x).square().sum().backward()
        grads = [p.grad.clone() for p in layer.parameters()]
        assert_close(run(x), layer(x))
    for one, p in zip(grads, layer.parameters(), strict=True):
        assert_close(one, p.grad)
