"""Hyperparameters with a value for each channel, spread over an interval."""

from typing import Any

import torch

from dsptorch.hyperparams.arguments import Hyperparam, check_hyperparam
from dsptorch.hyperparams.bounded import BoundedHyperparam
from dsptorch.hyperparams.first_values import real_tensors

__all__ = ["Spread", "check_spread"]

Spread = Hyperparam | tuple[float, float]
"""The type of an argument that may differ between channels: a number, a hyperparameter, or a pair."""


def check_spread(
    name: str,
    value: Any,
    low: float,
    high: float,
    *,
    width: int,
    repeats: int = 1,
    device: torch.device | str | None = None,
) -> Hyperparam:
    """Check a hyperparameter argument and return it; a pair becomes a learned one with a value for each channel.

    The values of a pair (first, last) start at the middles of `width` equal parts of the pair on a logarithmic scale,
    and are learned within the pair.

        v_c = first * (last / first) ** ((c + 1/2) / width)

    Args:
        name: The argument's name, for errors.
        value: The argument.
        low: The least value allowed, above 0.
        high: The greatest value allowed.
        width: The number of values of a pair.
        repeats: Number of channels that start with each value, in order; there are width * repeats values.
        device: The device of the values of a pair.

    Raises:
        TypeError: If it is not a number, a BoundedHyperparam or a pair of numbers.
        ValueError: If it is not finite, or out of range.

    Example:
        >>> check_spread("half_life", (1, 64), 0.1, 100.0, width=3).value
        tensor([ 2.,  8., 32.])
    """
    if not isinstance(value, (tuple, list)):
        return check_hyperparam(name, value, low, high, width=width * repeats)
    if len(value) != 2:
        raise ValueError(f"{name} must be a number or a pair (first, last), got {len(value)} numbers")
    first, last = (check_hyperparam(name, bound, low, high) for bound in value)
    if isinstance(first, BoundedHyperparam) or isinstance(last, BoundedHyperparam):
        raise TypeError(f"{name} must be a pair of numbers, got {value!r}; a hyperparameter stands by itself")
    if first == last:
        raise ValueError(f"{name} must be a pair of two different numbers, got {value}; give {first:g} alone")
    with real_tensors():
        parts = (torch.arange(width, dtype=torch.float64) + 0.5) / width
        values = (first * (last / first) ** parts).float().repeat_interleave(repeats)
    return BoundedHyperparam(values, min(first, last), max(first, last), log=True, device=device)
