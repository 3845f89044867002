"""The kernels of filters between two rates against PyTorch's path, in whole numbers that every dtype holds exactly."""

from typing import NamedTuple

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

import dsptorch
from dsptorch.functional import analysis, synthesis
from dsptorch.functional.gpu import choice, frames, runs
from dsptorch.functional.polyphase_chunk import Chunk, filter_between_rates
from tests.functional.gpu.planted import plant
from tests.strategies import fails, holds
from tests.tolerances import assert_close

SMALL = {"FEWEST": 3, "CHANNELS": 8, "THREADS": 4, "BLOCK": 4, "BLOCKS": 2}


class Case(NamedTuple):
    """A signal, filters, rates, and where the chunk stands."""

    seen: Tensor
    taps: Tensor
    rates: tuple[int, int]
    fans: tuple[int, int]
    chunk: Chunk
    programs: int

    def run(self, device: str, dtype: torch.dtype) -> list[Tensor]:
        """The output, and the gradients of the signal and of the filters."""
        wide = torch.promote_types(dtype, torch.float32)
        seen = self.seen.to(device, dtype, copy=True).requires_grad_()
        taps = self.taps.to(device, wide, copy=True).requires_grad_()
        numtaps = len(taps) // (self.fans[0] * self.fans[1])
        memory = -(-numtaps // self.rates[0]) - (self.rates[0] == 1 or self.rates[1] == 1)
        position = None if self.chunk.position is None else self.chunk.position.to(device)
        chunk = self.chunk._replace(position=position)
        y = filter_between_rates(seen, taps, *self.rates, memory, chunk, *self.fans)
        assert y.dtype == dtype
        v = (torch.arange(y.numel(), device=device).reshape(y.shape) * 7 % 5 - 2).to(y)
        return [y.detach(), *torch.autograd.grad(y, (seen, taps), v)]


@st.composite
def cases(draw, windows=False):
    """Banks, their adjoints and resamplers; chunks at any phase; segments; more samples and channels than a tile.

    Banks without segments are filtered by windows, unless there is one channel.
    """
    kind = draw(st.sampled_from(["analysis", "synthesis"] + ["resample"] * (not windows)))
    fan, stride = draw(st.integers(1, 3)), draw(st.sampled_from([2, 3, 4, 1]))
    rates = {"analysis": (1, stride), "synthesis": (stride, 1)}.get(kind)
    if rates is None:
        rates = draw(st.sampled_from([(3, 2), (2, 3), (3, 2), (2, 1), (1, 3)]))
    other = draw(st.sampled_from([1, 2]))
    fans = {"analysis": (other, fan), "synthesis": (fan, other)}.get(kind, (1, 1))
    batch, channels = (
        draw(st.sampled_from([2, 1, 2, 1, 0])),
        draw(st.sampled_from([3, 1, 10 if windows else 70])),
    )
    numtaps, history = draw(st.integers(1, 7)), draw(st.integers(0, 5))
    segments = not windows and draw(st.sampled_from([False, True, False]))
    # A packed segment begins at a multiple of the period.
    time = draw(st.sampled_from([4, 8, 4, 8, 0] if segments else [9, 1, 30 if windows else 70, 9, 0])) * (
        rates[1] if segments else 1
    )
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))

    def random(*shape, low=-3, high=4):
        return torch.randint(low, high, shape, generator=generator).double()

    taps = random(fans[0] * fans[1] * numtaps, draw(st.sampled_from([1, channels])))
    length = draw(st.integers(1, 3)) * rates[1]
    position = (torch.arange(time) % length).expand(batch, -1) if segments else None
    chunk = Chunk(history, 0 if segments else draw(st.integers(0, rates[1] - 1)), position)
    seen = random(fans[0] * channels, batch, history + time).permute(1, 2, 0)
    return Case(seen, taps, rates, fans, chunk, draw(st.sampled_from([1, 99])))


def check(case: Case, device: str, dtype: torch.dtype, **sizes: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice, "PROGRAMS", case.programs)
        for name, size in (SMALL | sizes).items():
            patch.setattr(runs, name, size)
        found = case.run(device, dtype)
        patch.setattr(choice, "DEVICES", set())
        expected = case.run("cpu", torch.float64)
    for name, one, other in zip(("output", "signal", "taps"), found, expected, strict=True):
        assert one.shape == other.shape, name
        assert torch.equal(one.double().cpu(), other), name


def test_equals_the_torch_path(device):
    dtypes = st.sampled_from([torch.float32, torch.bfloat16, torch.float16, torch.float64])
    holds(lambda case, dtype: check(case, device, dtype, FEWEST=99), cases(), dtypes, times=2)
    holds(lambda case, dtype: check(case, device, dtype), cases(windows=True), dtypes, times=2)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("n * down - (near - step) * up", "n * down - near * up"),
        ("near = (place + first) * down // up", "near = place * down // up"),
        ("((j + moved * down) * up + down - 1) // down", "((j + moved * down) * up) // down"),
        ("(at - j if ADJOINT else step) <= age", "(at - j if ADJOINT else 0) <= age"),
        ("(at - j if ADJOINT else step) <= age", "(0 if ADJOINT else step) <= age"),
        ("+ f * taps_summed", "+ 0 * taps_summed"),
        ("number[None, :, None] * taps_kept", "0 * number[None, :, None] * taps_kept"),
        ("tap * inverse % up", "tap % up"),
        ("met = met & (at - j <= age)", "met = met & (at == at)"),
        ("tl.sum(found, 1)", "tl.max(found, 1)"),
        ("split * share + share, rows", "split * share + 1, rows"),
    ],
)
def test_a_planted_bug_is_caught(device, monkeypatch, tmp_path, old, new):
    plant(monkeypatch, tmp_path, "frames", old, new)
    fails(lambda case: check(case, device, torch.float32, FEWEST=99), cases(), times=4)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("n // (SUMMED * TAPS), tl.int64) * taps_kept", "0, tl.int64) * taps_kept"),
        ("n // TAPS % SUMMED, tl.int64) * taps_summed", "0, tl.int64) * taps_summed"),
        ("time = coarse * steps - skipped", "time = coarse * steps"),
        ("window[(u // steps * step + k) * SUMMED + f]", "window[(u // steps + k) * SUMMED + f]"),
        ("TABLE[u % steps * WINDOW + k]]", "TABLE[k]]"),
        ("n // TAPS % COARSE]", "0]"),
        ("* FINE + n // TAPS // COARSE]", "* FINE]"),
        ("TAPS - 1 - n % TAPS if COARSER else n % TAPS", "n % TAPS"),
        ("split * share + share, units", "split * share + 1, units"),
        ("v += BLOCK_T * coarse_t", "v += 0"),
        ("tl.sum(tl.sum(sums[n], 0), 0)", "tl.max(tl.sum(sums[n], 0), 0)"),
    ],
)
def test_a_bug_that_is_planted_in_the_windows_is_caught(device, monkeypatch, tmp_path, old, new):
    plant(monkeypatch, tmp_path, "rate_windows", old, new)
    fails(lambda case: check(case, device, torch.float32), cases(windows=True), times=6)


@pytest.mark.parametrize("adjoint", [False, True])
def test_the_filter_is_a_torch_operator(device, adjoint):
    x, taps = torch.randn(2, 7, 1 + 2 * adjoint, 2, device=device), torch.randn(1, 3, 4, 1, device=device)
    torch.library.opcheck(frames.rate_filter, (x, taps, None, [1, 2, 0, -1], 4, adjoint))


def test_the_correlation_is_a_torch_operator(device):
    x, v = torch.randn(2, 7, 1, 2, device=device), torch.randn(2, 4, 3, 2, device=device)
    for shared in (False, True):
        torch.library.opcheck(frames.rate_correlation, (x, v, None, [1, 2, 0, 0], 4, shared))


def test_second_derivatives_and_vmap(device):
    bank = torch.randn(2, 3, dtype=torch.float64, device=device, requires_grad=True)
    x = torch.randn(1, 5, 2, dtype=torch.float64, device=device, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x, bank: analysis(x, bank, 2), (x, bank), fast_mode=True)
    banks = torch.randn(3, 2, 3, dtype=torch.float64, device=device)
    found = torch.func.vmap(lambda bank: analysis(x, bank, 2))(banks)
    assert_close(found, torch.stack([analysis(x, one, 2) for one in banks]))


def test_a_haar_bank_returns_its_input(device):
    x, haar = torch.randn(1, 6, 2, device=device), torch.tensor([[1.0, 1.0], [1.0, -1.0]], device=device)
    y = synthesis(analysis(x, haar, 2), haar * torch.tensor([[0.5], [-0.5]], device=device), 2)
    assert_close(y[:, 1:], x[:, :-1])  # late by one


def test_layers_compile_to_the_operators(device):
    layer = dsptorch.Decimate(4, 2).to(device)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    for time in (6, 9):
        x = torch.randn(2, time, 4, device=device, requires_grad=True)
        y = compiled(x)
        assert_close(y, layer(x))
        assert_close(*(torch.autograd.grad(z.square().sum(), x)[0] for z in (y, layer(x))), scale=5)
