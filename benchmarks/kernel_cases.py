"""What `kernel_resources.py` compiles: uses of each operator in the sizes of a model."""

from collections.abc import Callable
from functools import partial

import torch

from dsptorch.functional.gpu.periodic import periodic_correlation, periodic_filter

__all__ = ["CASES"]

HALF, SINGLE = torch.bfloat16, torch.float32


def _periodic(
    dtype: torch.dtype, lags: int, period: int, channels: int = 1024, segments: bool = False
) -> None:
    """The filter, its adjoint and the correlation."""
    x = torch.empty(2, 2048, channels, dtype=dtype)
    weight = torch.empty(1, period, lags, channels)
    marks = (torch.zeros(2, 2048, dtype=torch.int64),) * 2 if segments else (None, None)
    for adjoint in (False, True):
        periodic_filter(x, weight, range(lags), 0, 2048, *marks, adjoint)
    periodic_correlation(x, x, range(lags), 0, period, False, *marks)


CASES: dict[str, Callable[[], None]] = {
    "11 taps, 2 phases, bf16": partial(_periodic, HALF, 11, 2),
    "11 taps, 2 phases, fp32": partial(_periodic, SINGLE, 11, 2),
    "4 taps, bf16": partial(_periodic, HALF, 4, 1),
    "64 taps, fp32": partial(_periodic, SINGLE, 64, 1),
    "11 taps, 2 phases, 1 channel, fp32": partial(_periodic, SINGLE, 11, 2, channels=1),
    "11 taps, 2 phases, segments, bf16": partial(_periodic, HALF, 11, 2, segments=True),
}
