"""What `kernel_resources.py` compiles: uses of each operator in the sizes of a model."""

from collections.abc import Callable, Mapping
from functools import partial

import torch

from dsptorch.functional.gpu.frames import rate_correlation, rate_filter
from dsptorch.functional.gpu.periodic import periodic_correlation, periodic_filter
from dsptorch.functional.gpu.recurrence import gradients, recurrence

__all__ = ["CASES"]

HALF, SINGLE = torch.bfloat16, torch.float32


def _periodic(
    slot: str, dtype: torch.dtype, lags: int, period: int, channels: int = 1024, segments: bool = False
) -> None:
    x = torch.empty(2, 2048, channels, dtype=dtype)
    mark = torch.zeros(2, 2048, dtype=torch.int64) if segments else None
    if slot == "taps":
        periodic_correlation(x, x, range(lags), 0, period, False, mark, mark)
    else:
        weight = torch.empty(1, period, lags, channels)
        periodic_filter(x, weight, range(lags), 0, 2048, mark, mark, slot == "adjoint")


def _recurrence(
    dtype: torch.dtype, varying: bool, segments: bool = False, order: int = 1, n: int = 1
) -> None:
    batch, time, channels = 8, 2048, 1024
    x = torch.empty(batch, time, n, channels, dtype=dtype)
    a = torch.empty(*[batch, time] * varying, order, n, n, channels)
    begins = torch.zeros(batch, time, dtype=torch.bool) if segments else None
    recurrence(x, a, None, begins, False, torch.empty(channels), True)


def _gradients(dtype: torch.dtype, segments: bool = False) -> None:
    v, a = torch.empty(8, 2048, 1, 1024, dtype=dtype), torch.empty(1, 1, 1, 1024)
    begins = torch.zeros(8, 2048, dtype=torch.bool) if segments else None
    gradients(v, a, None, begins, False, torch.empty(1024), v, v, dtype)


def _frames(slot: str, dtype: torch.dtype, bands: int, numtaps: int, shared: bool) -> None:
    x, v = torch.empty(2, 2048, 1, 256, dtype=dtype), torch.empty(2, 2048 // bands, bands, 256, dtype=dtype)
    taps = torch.empty(1, bands, numtaps, 1 if shared else 256)
    if slot == "taps":
        rate_correlation(x, v, None, [1, bands, 0, 0], numtaps, shared)
    elif slot == "output":
        rate_filter(x, taps, None, [1, bands, 0, 0], v.shape[1], False)
    else:
        rate_filter(v, taps, None, [1, bands, 0, 0], x.shape[1], True)


CASES: Mapping[str, Callable[[], None]] = (
    {
        f"{name}, {slot}": partial(run, slot)
        for name, run in {
            "11 taps, 2 phases, bf16": partial(_periodic, dtype=HALF, lags=11, period=2),
            "11 taps, 2 phases, fp32": partial(_periodic, dtype=SINGLE, lags=11, period=2),
            "4 taps, bf16": partial(_periodic, dtype=HALF, lags=4, period=1),
            "17 taps, 8 phases, bf16": partial(_periodic, dtype=HALF, lags=17, period=8),
            "64 taps, fp32": partial(_periodic, dtype=SINGLE, lags=64, period=1),
            "11 taps, 2 phases, 1 channel, fp32": partial(
                _periodic, dtype=SINGLE, lags=11, period=2, channels=1
            ),
            "11 taps, 2 phases, segments, bf16": partial(
                _periodic, dtype=HALF, lags=11, period=2, segments=True
            ),
        }.items()
        for slot in ("output", "adjoint", "taps")
    }
    | {
        "a number a channel, bf16": partial(_recurrence, HALF, False),
        "a number a channel, segments, fp32": partial(_recurrence, SINGLE, False, True),
        "a number a channel, gradients, bf16": partial(_gradients, HALF),
        "a number a channel, gradients, segments, fp32": partial(_gradients, SINGLE, True),
        "a number a sample, fp32": partial(_recurrence, SINGLE, True),
        "a number a sample, segments, fp32": partial(_recurrence, SINGLE, True, True),
    }
    | {
        "resonator, bf16": partial(_recurrence, HALF, False, n=2),
        "resonator, a matrix a sample, segments, fp32": partial(_recurrence, SINGLE, True, True, n=2),
        "second order, fp32": partial(_recurrence, SINGLE, False, order=2),
        "second order, a number a sample, segments, fp32": partial(_recurrence, SINGLE, True, True, order=2),
    }
    | {
        f"{name}, {slot}": partial(run, slot)
        for name, run in {
            "16 bands of 64 taps, fp32": partial(_frames, dtype=SINGLE, bands=16, numtaps=64, shared=True),
            "4 bands of 16 taps, fp32": partial(_frames, dtype=SINGLE, bands=4, numtaps=16, shared=True),
            "2 bands of 8 taps a channel, bf16": partial(
                _frames, dtype=HALF, bands=2, numtaps=8, shared=False
            ),
        }.items()
        for slot in ("output", "adjoint", "taps")
    }
)
