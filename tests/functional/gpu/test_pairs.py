"""The kernels of two states a channel against PyTorch's path: halves and whole numbers, which float32 holds exactly."""

from typing import NamedTuple

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

import dsptorch
from dsptorch.functional import lfilter
from dsptorch.functional.gpu import choice, recurrence
from dsptorch.functional.recurrence import recur_lags
from tests.functional.gpu.planted import plant
from tests.strategies import fails, holds
from tests.tolerances import assert_close


class Case(NamedTuple):
    """A signal, matrices, a state, a gain, the gradient of the output, borders, and how the work is cut."""

    x: Tensor
    a: Tensor
    state: Tensor | None
    gain: Tensor | None
    v: Tensor
    begins: Tensor | None
    programs: int

    def run(self, device: str, dtype: torch.dtype) -> list[Tensor]:
        """The output, the last state, and the gradients of all that has one."""
        wide = torch.promote_types(dtype, torch.float32)
        x = self.x.to(device, dtype if device != "cpu" or choice.DEVICES else wide, copy=True)
        given = [x.requires_grad_()]
        for part in (self.a, self.state, self.gain):
            given.append(None if part is None else part.to(device, wide, copy=True).requires_grad_())
        begins = None if self.begins is None else self.begins.to(device)
        y, last = recur_lags(*given[:3], begins, gain=given[3])
        assert y.dtype == last.dtype == wide
        ((y * self.v.to(y)).sum() + last.sum()).backward()
        return [y.detach(), last.detach(), *(part.grad for part in given if part is not None)]


@st.composite
def cases(draw):
    """Coupled or of order two; constant or not; no sample, one, or more than a chunk; more channels than a tile."""
    coupled, varying = draw(st.booleans()), draw(st.sampled_from([False, True]))
    batch, time = draw(st.integers(1, 2)), draw(st.sampled_from([7, 4, 7, 1, 0]))
    channels, n = draw(st.sampled_from([3, 1])), 2 if coupled else 1
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))

    def random(*shape, low=-3, high=4):
        return torch.randint(low, high, shape, generator=generator).double()

    matrices = (*[batch, time] * varying, 3 - n, n, n, channels)
    return Case(
        random(channels, batch, n, time).permute(1, 3, 2, 0),
        random(*matrices, low=-2, high=3) / 2,
        random(batch, n, channels) if coupled and draw(st.sampled_from([True, True, False])) else None,
        random(channels) if draw(st.sampled_from([True, True, False])) else None,
        random(batch, time, n, channels),
        random(batch, time, low=0, high=4) == 0 if draw(st.sampled_from([True, False])) else None,
        draw(st.sampled_from([99, 1])),
    )


def check(case: Case, device: str, dtype: torch.dtype) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice, "PROGRAMS", case.programs)
        patch.setattr(recurrence, "LANES", 4)
        patch.setattr(recurrence, "WHOLE", 2)
        patch.setattr(recurrence, "LOADED", 1)
        patch.setattr(recurrence, "SHORTEST", 2)
        found = case.run(device, dtype)
        patch.setattr(choice, "DEVICES", set())
        expected = case.run("cpu", torch.float64)
    for number, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert_close(one.cpu(), other, scale=10, what=f"result {number}")


def test_equals_the_torch_path(device):
    dtypes = st.sampled_from([torch.float32, torch.bfloat16, torch.float16, torch.float64])
    holds(lambda case, dtype: check(case, device, dtype), cases(), dtypes, times=2)


@pytest.mark.parametrize(
    ("stem", "old", "new"),
    [
        ("matrices", "m[2] * y[0] + (m[3]", "m[1] * y[0] + (m[3]"),
        ("matrices", "(m[1] * y[1] + u[0]), y[0]", "(m[1] * y[1] + u[0]), y[1]"),
        ("matrices", "columns[1][0], columns[0][1]", "columns[0][1], columns[1][0]"),
        ("matrices", "((whole[0], whole[2]), (whole[1], whole[3]))", "((whole[0], whole[1]), whole[2:])"),
        ("matrices", "whole += zero + 1, zero", "whole += zero, zero"),
        ("matrices", "tl.where(begun, others[i], numbers[i])", "tl.where(begun, others[0], numbers[i])"),
        ("recurrence", "tl.load(a + a_k, mask)", "tl.load(a, mask)"),
        ("recurrence", "sample += (tl.load(x + x_n, inside),)", "sample += (tl.load(x, inside),)"),
        ("recurrence", "u[1] * g", "u[1]"),
        ("recurrence", "((zero + 1, zero), (zero, zero + 1))", "((zero + 1, zero), (zero, zero))"),
    ],
)
def test_a_planted_bug_is_caught(device, monkeypatch, tmp_path, stem, old, new):
    plant(monkeypatch, tmp_path, stem, old, new)
    fails(lambda case: check(case, device, torch.float64), cases(), times=4)


def test_layers_and_lfilter_take_the_kernels(device, monkeypatch):
    x = torch.randn(2, 9, 3, device=device)
    layers = dsptorch.Resonator(3), dsptorch.Biquad(3), dsptorch.SOS(3, 2)
    runs = [layer.to(device) for layer in layers]
    runs.append(lambda x: lfilter(torch.tensor([1.0, 0.5]), torch.tensor([1.0, -0.5, 0.25]), x))
    called, run_kernels = [], recurrence._run
    monkeypatch.setattr(recurrence, "_run", lambda *given: (called.append(1), run_kernels(*given)))
    found = [run(x) for run in runs]
    assert len(called) >= len(runs)
    monkeypatch.setattr(choice, "DEVICES", set())
    for run, y in zip(runs, found, strict=True):
        assert_close(y, run(x), scale=5)
