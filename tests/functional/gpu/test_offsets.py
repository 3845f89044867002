"""Offsets in memory beyond 2^31: a signal whose channels are 2^30 numbers apart, in memory that is hardly touched."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from dsptorch.functional.gpu import choice, runs
from dsptorch.functional.gpu.frames import rate_correlation, rate_filter
from dsptorch.functional.gpu.periodic import periodic_correlation, periodic_filter
from dsptorch.functional.gpu.recurrence import recurrence
from tests.functional.gpu.planted import plant

APART, MIDDLE = 2**30, 2**31  # a product that wraps around still lands in the memory


@pytest.fixture(scope="module")
def memory() -> Tensor:
    """Virtual memory: its pages are taken where they are written."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.empty(2**32 + 64, dtype=torch.bfloat16, device=device)


def rates(x: Tensor) -> list[Tensor]:
    x = x.unsqueeze(2)
    taps, v = torch.ones(1, 1, 2, 3, device=x.device), torch.ones(1, 2, 1, 3, device=x.device)
    forward = rate_filter(x, taps, None, [1, 2, 0, 0], 2, False)
    return [forward, rate_correlation(x, v, None, [1, 2, 0, 0], 2, False)]


def periodic(x: Tensor) -> list[Tensor]:
    weight, masks = torch.ones(1, 1, 1, 3, device=x.device), (None, None)
    return [
        periodic_filter(x, weight, [1], 0, 4, *masks, False),
        periodic_correlation(x, x, [1], 0, 1, False, *masks),
    ]


def by_windows(run: Callable[[Tensor], list[Tensor]], x: Tensor) -> list[Tensor]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "FEWEST", 1)
        return run(x)


def recurrences(x: Tensor) -> list[Tensor]:
    first, second = (torch.full((order, 1, 1, 3), 0.5, device=x.device) for order in (1, 2))
    x = x.unsqueeze(2)
    return [recurrence(x, a, None, None, False, None, False)[0] for a in (first, second)]


RUNS = {
    "periodic": periodic,
    "windows": partial(by_windows, periodic),
    "frames": rates,
    "rate_windows": partial(by_windows, rates),
    "recurrence": recurrences,
}


def check(run, memory: Tensor) -> None:
    far = memory.as_strided((1, 4, 3), (4, 1, APART), MIDDLE)
    far.copy_(torch.arange(12.0).reshape(1, 4, 3) - 5)
    for one, other in zip(run(far), run(far.contiguous()), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("stem", RUNS)
def test_channels_may_be_far_apart(device, memory, stem):
    check(RUNS[stem], memory)


@pytest.mark.parametrize("stem", RUNS)
def test_a_32_bit_offset_is_caught(device, memory, monkeypatch, tmp_path, stem):
    plant(
        monkeypatch,
        tmp_path,
        stem,
        "tl.arange(0, BLOCK_C)).to(tl.int64)",
        "tl.arange(0, BLOCK_C)).to(tl.int32)",
    )
    with pytest.raises(AssertionError):
        check(RUNS[stem], memory)


def test_a_signal_that_is_too_long_to_count_is_refused():
    with pytest.raises(ValueError, match="in chunks"):
        choice.check_times(2**30 + 1)
