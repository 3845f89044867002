"""Hyperparameters as arguments of layers: fixed numbers, or learned `BoundedHyperparam`s."""

import math
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from dsptorch.functional.validate import check_int
from dsptorch.hyperparams.bounded import BoundedHyperparam
from dsptorch.hyperparams.fixed import FixedHyperparam

Hyperparam = float | BoundedHyperparam
"""The type of a hyperparameter argument of a layer: a fixed number, or one that learns."""


def check_hyperparam(
    name: str, value: Any, low: float = -math.inf, high: float = math.inf, *, width: int = 1
) -> Hyperparam:
    """Check that a hyperparameter argument is finite and in its range, and return it.

    Args:
        name: The argument's name, for errors.
        value: The argument.
        low: The least value allowed.
        high: The greatest value allowed.
        width: Number of values that it may hold instead of one: d_model for one per channel.

    Raises:
        TypeError: If it is not a number or a BoundedHyperparam, or is a BoundedHyperparam of integers.
        ValueError: If it is not finite, or out of range.
    """
    if isinstance(value, BoundedHyperparam):
        if value.integer:
            raise TypeError(f"{name} takes any number in its interval, got {value!r}; leave out integer=True")
        if value.low < low or value.high > high:
            raise ValueError(
                f"{name} must stay in [{low:g}, {high:g}], got bounds [{value.low:g}, {value.high:g}]; narrow them"
            )
        if value.raw.numel() != 1 and tuple(value.raw.shape) != (width,):
            one_each = f", or {width}, one a channel" if width > 1 else ""
            raise ValueError(f"{name} must hold 1 value{one_each}, got shape {tuple(value.raw.shape)}")
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(
            f"{name} must be a float (fixed) or a BoundedHyperparam (learned), got {value!r} "
            f"of type {type(value).__name__}"
        )
    if not math.isfinite(value) or not low <= value <= high:
        raise ValueError(f"{name} must be a finite number in [{low:g}, {high:g}], got {value}")
    return float(value)


def check_factor(name: str, value: Any) -> int | BoundedHyperparam:
    """Check an integer argument of at least 1, an int or a hyperparameter of integers, and return it.

    Args:
        name: The argument's name, for errors.
        value: The argument.

    Raises:
        TypeError: If it is neither an int nor a BoundedHyperparam of integers.
        ValueError: If it may fall below 1, or holds more than one value.
    """
    if not isinstance(value, BoundedHyperparam):
        return check_int(name, value, least=1)
    if not value.integer:
        raise TypeError(f"{name} takes whole numbers, got {value!r}; build it with integer=True")
    if value.low < 1:
        raise ValueError(f"{name} must be at least 1, got the lower bound {value.low:g}; raise it")
    if value.raw.numel() != 1:
        raise ValueError(f"{name} must hold 1 value, got shape {tuple(value.raw.shape)}")
    return value


def current(value: Hyperparam | FixedHyperparam) -> float | Tensor:
    """The value for computation: the number, or the tensor with its gradient."""
    if isinstance(value, FixedHyperparam):
        return value.value
    return value() if isinstance(value, BoundedHyperparam) else value


def made_of(*values: Hyperparam | FixedHyperparam | Tensor) -> list[Any]:
    """The inputs of a computation for a `Memo`: raw values and bounds of hyperparameters, tensors, numbers."""
    parts: list[Any] = []
    for value in values:
        if isinstance(value, BoundedHyperparam):
            parts += [value.raw, value.low, value.high]
        else:
            parts.append(value.value if isinstance(value, FixedHyperparam) else value)
    return parts


def fixed_repr(**hyperparams: Hyperparam) -> str:
    """The fixed hyperparameters of a layer, to be appended to its `extra_repr`; learned ones have their own repr."""
    return "".join(f", {name}={value:g}" for name, value in hyperparams.items() if isinstance(value, float))


def named_hyperparams(model: nn.Module) -> Iterator[tuple[str, BoundedHyperparam]]:
    """Yield every BoundedHyperparam of a model with its name, each once.

    Example:
        >>> from dsptorch import Multirate
        >>> for name, hyperparam in named_hyperparams(Multirate(8)):
        ...     print(name, hyperparam)
        mix_ratio BoundedHyperparam(0.4, low=0.2, high=0.6)
        detail_strength BoundedHyperparam(0.75, low=0.5, high=1)
    """
    for name, module in model.named_modules():
        if isinstance(module, BoundedHyperparam):
            yield name, module
