"""The kernels of the periodic filter against PyTorch's path, in whole numbers that every dtype holds exactly."""

from typing import NamedTuple

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

from dsptorch.functional import lptv_filter
from dsptorch.functional.gpu import choice, periodic, runs
from tests.functional.gpu.planted import plant
from tests.functional.kernel_cases import chunk_segments
from tests.strategies import fails, holds

SMALL = {"FEWEST": 3, "CHANNELS": 8, "THREADS": 4, "BLOCK": 3, "BLOCKS": 2}
DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


class Case(NamedTuple):
    """A signal, weights, a gradient of the output, and how many programs share a sum."""

    x: Tensor
    weight: Tensor
    v: Tensor
    lags: tuple[int, ...]
    history: int
    ids: Tensor | None
    programs: int

    def run(self, device: str, dtype: torch.dtype) -> list[Tensor]:
        """The output and the gradients of the signal and of the weights."""
        x = self.x.to(device, dtype, copy=True).requires_grad_()
        wide = torch.promote_types(dtype, torch.float32)
        weight = self.weight.to(device, wide, copy=True).requires_grad_()
        segments = None if self.ids is None else chunk_segments(self.ids.to(device), self.history)
        y = lptv_filter(x, weight, self.lags, history=self.history, segments=segments)
        assert y.dtype == dtype
        y.backward(self.v.to(device, dtype))
        return [y.detach(), x.grad, weight.grad]


@st.composite
def cases(draw, neighbours=False):
    """Any period, lags, history and layout; empty signals, and more samples and channels than a tile.

    Neighbouring lags without segments are filtered by windows, unless there is one channel.
    """
    kinds = ["shared", "rows"] if neighbours else ["segments", "shared", "segments", "rows"]
    period, how = draw(st.integers(1, 5)), draw(st.sampled_from(kinds))
    lags = tuple(draw(st.lists(st.integers(-6, 9), min_size=1, max_size=5, unique=True)))
    if neighbours:
        lags = tuple(range(lags[0], lags[0] + len(lags)))
    batch, history = draw(st.sampled_from([2, 1, 2, 0])), draw(st.integers(0, 9))
    channels = draw(st.sampled_from([3, 1, 10 if neighbours else 70]))
    time = draw(st.sampled_from([7, 30 if neighbours else 100, 7, 1, 0]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))

    def random(*shape, low=-4, high=5):
        return torch.randint(low, high, shape, generator=generator).double()

    x = random(batch, history + time, channels)
    if draw(st.booleans()):  # strided, as a part of a wider signal of another layout
        x = random(channels + 2, batch, 2 * (history + time)).permute(1, 2, 0)[:, ::2, 1:-1]
    runs = random(batch, history + time, low=0, high=4) == 0
    ids = runs.cumsum(1) if how == "segments" else None
    width = draw(st.sampled_from([1, channels]))
    weight = random(*[batch] * (how == "rows"), period, len(lags), width, low=-3, high=4)
    return Case(x, weight, random(batch, time, channels), lags, history, ids, draw(st.sampled_from([1, 99])))


def test_equals_the_torch_path(device):
    dtypes = st.sampled_from(DTYPES)
    holds(lambda case, dtype: check(case, device, dtype, FEWEST=99), cases(), dtypes, times=2)
    holds(lambda case, dtype: check(case, device, dtype), cases(neighbours=True), dtypes, times=2)


def check(case: Case, device: str, dtype: torch.dtype, **sizes: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice, "PROGRAMS", case.programs)
        for name, size in (SMALL | sizes).items():
            patch.setattr(runs, name, size)
        found = case.run(device, dtype)
        patch.setattr(choice, "DEVICES", set())
        expected = case.run("cpu", torch.float64)
    for name, one, other in zip(("output", "signal", "weight"), found, expected, strict=True):
        assert torch.equal(one.double().cpu(), other), name


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("else phase\n", "else (phase + 1) % period\n"),
        ("else history - lag)", "else history - tl.abs(lag))"),
        ("(phase + tl.load(lags + num_lags + i)) % period", "phase"),
        ("at = (before % period)", "at = (before * 0)"),
        ("met = met & (before >= lag) & (after >= -lag)", "met = met & (before >= lag)"),
        ("tl.minimum(first_phase + phases, step)", "tl.minimum(first_phase + 1, step)"),
        ("inside = inside & (before % period == phase)", "inside = inside & (phase == 0)"),
        (" & (after[:, None] >= -lag[None, :])", ""),
        ("(before[:, None] >= lag[None, :])", "(lag[None, :] == lag[None, :])"),
        ("tl.sum(total, 0)", "tl.max(total, 0)"),
        ("split * share + share, rows", "split * share + 1, rows"),
        ("(group * rows + unit // time_tiles)", "(unit // time_tiles)"),
    ],
)
def test_a_planted_bug_is_caught(device, monkeypatch, tmp_path, old, new):
    plant(monkeypatch, tmp_path, "periodic", old, new)
    fails(lambda case: check(case, device, torch.float32, FEWEST=99), cases(), times=4)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("inside, 0.0).to(SUM)", "inside, 1.0).to(SUM)"),
        ("(n // TAPS + turn + n % TAPS) % PERIOD", "n // TAPS"),
        ("i = n % TAPS if ADJOINT else TAPS - 1 - n % TAPS", "i = n % TAPS"),
        ("weight += row * weight_b", "weight += 0 * weight_b"),
        ("taps[u % PERIOD * TAPS + k]", "taps[k]"),
        ("window = window[BLOCK_T:]", "window = window[: TAPS - 1]"),
        ("inside = (time + u < length)", "inside = (time + u + 1 < length)"),
        ("group * (units // run_tiles)", "0 * (units // run_tiles)"),
        ("split * share + share, units", "split * share + 1, units"),
        ("n // TAPS, BLOCK_T, PERIOD", "0, BLOCK_T, PERIOD"),
        ("tl.sum(sums[n], 0)", "tl.max(sums[n], 0)"),
        ("v += BLOCK_T * gradient_t", "v += 0"),
    ],
)
def test_a_bug_that_is_planted_in_the_windows_is_caught(device, monkeypatch, tmp_path, old, new):
    plant(monkeypatch, tmp_path, "windows", old, new)
    fails(lambda case: check(case, device, torch.float32), cases(neighbours=True), times=4)


@pytest.mark.filterwarnings(
    "ignore:invalid value:RuntimeWarning"
)  # numpy's, where the interpreter multiplies
def test_a_border_between_signals_stops_what_is_not_finite(device):
    x = torch.ones(1, 6, 2, device=device)
    x[:, 3:] = float("inf")
    segments = chunk_segments(torch.tensor([[0, 0, 0, 1, 1, 1]], device=device), 0)
    signal = torch.ones(1, 6, 2, device=device, requires_grad=True)
    for lags in ((-1, 0, 1, 3), (0, 2)):
        weight = torch.ones(2, len(lags), 2, device=device)
        assert lptv_filter(x, weight, lags, segments=segments)[:, :3].isfinite().all()
        y = lptv_filter(signal, weight, lags, segments=segments)
        assert torch.autograd.grad(y, signal, x)[0][:, :3].isfinite().all()


def test_a_sum_is_the_same_each_time(device):
    x, v = torch.randn(3, 300, 5, device=device), torch.randn(3, 300, 5, device=device)
    first, again = (periodic.periodic_correlation(x, v, [0, 1, 4], 0, 2, False, None, None) for _ in range(2))
    assert torch.equal(first, again)
