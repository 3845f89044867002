"""The integers of an interval: initial values, rounding to integers, and the choice of the best integer."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

_LARGEST = 10_000  # float32 resolves numbers of this size to 0.001
_SATURATED = 40.0  # at this argument the sigmoid is exactly 1 in float64 too
_NEAR = (
    8 * torch.finfo(torch.float32).eps
)  # rounding error of sigmoid and interpolation, relative to the bounds


def check_integers(low: float, high: float, log: bool) -> None:
    """Raise unless an interval of integers has whole bounds and a linear scale."""
    if log:
        raise ValueError(
            "integer=True takes a linear scale, got log=True: mixtures of neighbours are linear; drop one"
        )
    if not (low.is_integer() and high.is_integer()):
        raise ValueError(
            f"integer=True takes whole numbers as bounds, got low={low:g}, high={high:g}; round them"
        )
    if max(-low, high) > _LARGEST:
        raise ValueError(
            f"integer=True takes bounds of at most {_LARGEST} in size, got low={low:g}, high={high:g}: scale them down"
        )


def start_inside(value: Tensor, low: float, high: float) -> Tensor:
    """Move values on a bound inside, by 1 % of the interval but at most 0.1; the nearest integer does not change."""
    inside = min(0.01 * (high - low), 0.1)
    value = torch.where(value == low, low + inside, value)
    return torch.where(value == high, high - inside, value)


def snapped(value: Tensor, low: float, high: float) -> Tensor:
    """Round a value that is within rounding error of an integer to it, and keep its gradient."""
    integer = value.detach().round()
    error = integer - value.detach()
    return torch.where(error.abs() <= _NEAR * max(-low, high), value + error, value)


def saturated(raw: Tensor, integer: Tensor, low: float, high: float) -> Tensor:
    """Move the raw value of an integer on a bound far enough out to make the value exact."""
    raw = torch.where(integer == low, -_SATURATED, raw)
    return torch.where(integer == high, _SATURATED, raw)


def choose(
    value: Tensor,
    low: float,
    high: float,
    stand_at: Callable[[Tensor], None],
    loss: Callable[[], float | Tensor] | None,
    candidates: str,
) -> Tensor:
    """Return the integer with the least loss, or the nearest integer: see `BoundedHyperparam.harden`."""
    if candidates not in ("neighbours", "all"):
        raise ValueError(f"candidates must be 'neighbours' or 'all', got {candidates!r}")
    if loss is None:
        if candidates == "all":
            raise ValueError("candidates='all' needs a loss to compare them by, got none; give one")
        return value.round()
    if value.numel() != 1:
        raise ValueError(
            f"harden compares candidates of one value, got shape {tuple(value.shape)}; leave out the loss to take "
            "the nearest integers"
        )
    here = value.item()
    options = range(int(low), int(high) + 1) if candidates == "all" else {math.floor(here), math.ceil(here)}
    losses = {}
    for option in sorted(options, key=lambda option: (abs(option - here), option)):
        stand_at(torch.full_like(value, option))
        losses[option] = _number(loss(), option)
    return torch.full_like(value, min(losses, key=losses.__getitem__))


def _number(loss: object, option: int) -> float:
    if isinstance(loss, Tensor) and loss.numel() == 1:
        loss = loss.item()
    if isinstance(loss, bool) or not isinstance(loss, (int, float)):
        raise TypeError(f"loss must return one number, got {loss!r} at {option}; average it")
    if not math.isfinite(loss):
        raise ValueError(f"loss must be finite to be compared, got {loss} at {option}; nothing has changed")
    return float(loss)
