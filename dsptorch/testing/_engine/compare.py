"""Comparisons shared by several checks."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dsptorch.testing._engine.examples import greatest
from dsptorch.testing.tolerances import Difference, difference

_CUTS = 64  # most lengths or cuts that are tried


def spread(low: int, high: int) -> list[int]:
    """The integers of an interval, or a selection from end to end."""
    some = torch.linspace(low, high, _CUTS).long().unique().tolist()
    return list(range(low, high + 1)) if high - low < _CUTS else some


def differ(actual: Tensor, expected: Tensor, scale: float | None = None) -> Difference | None:
    """The greatest difference of two signals relative to a scale or the greatest expected value; None if equal."""
    return difference(actual.flatten(2), expected.flatten(2), scale=scale or greatest(expected))


def check_late(y: Tensor, x: Tensor, delay: int, margin: int, exact: bool, what: str) -> None:
    """Raise unless `y` is `x`, delayed."""
    if y.shape != x.shape:
        raise AssertionError(f"{what}: {tuple(y.shape)} came of {tuple(x.shape)}")
    late = F.pad(x, (0, 0, delay, 0))[:, : x.shape[1]]
    inside = slice(delay + margin if margin else 0, x.shape[1] - margin)
    mine, its = y[:, inside], late[:, inside]
    found = difference(mine, its, scale=greatest(x))
    if exact and found is None and not torch.equal(mine, its):
        raise AssertionError(
            f"{what} in every bit: it is off by {(mine - its).abs().max().item():.3g}, as rounding is"
        )
    if found is not None:
        row, time, channel = found.at
        error = (mine.double() - its.double()).square().sum()
        ratio = 10 * torch.log10(its.double().square().sum() / error).item()
        raise AssertionError(
            f"{what}: it differs at row {row}, time {time + inside.start}, channel {channel}, "
            f"{found.actual:.6g} instead of {found.expected:.6g}; the signal is {ratio:.1f} dB above the error. "
            f"{_fit(y, x)}"
        )


def _fit(y: Tensor, x: Tensor) -> str:
    """Describe the delay and gain of x that best match y, if they match."""
    best = (torch.inf, 0, 0.0)
    for delay in range(x.shape[1]):
        late = F.pad(x, (0, 0, delay, 0))[:, : x.shape[1]].double()
        size = late.square().sum().item()
        gain = (late * y).sum().item() / size if size else 0.0
        best = min(best, ((y - gain * late).square().sum().item(), delay, gain))
    error, delay, gain = best
    if error < 1e-4 * y.double().square().sum().item():
        return f"It is the input late by {delay}, times {gain:.6g}"
    return "It is no delayed and scaled input at all"
