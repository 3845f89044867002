"""Checks of arguments, shared by the whole library, so that errors are worded alike."""

import math

from torch import Tensor


def check_signal(x: object, channels: int | None, where: str) -> None:
    """Raise unless x is a floating-point (batch, time, channels) tensor of the expected width.

    Args:
        x: The argument to check.
        channels: The expected width; None for any width.
        where: The name that the error gives to the caller.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"{where} expects a tensor (batch, time, channels), got {describe(x)}")
    if x.dim() != 3:
        raise ValueError(
            f"{where} expects (batch, time, channels), got shape {tuple(x.shape)}; "
            + (
                "(batch, time) of one channel is x.unsqueeze(-1)"
                if channels == 1 and x.dim() == 2
                else "one sequence is x.unsqueeze(0), and channels come last"
            )
        )
    if not x.is_floating_point():
        raise TypeError(f"{where} expects floating-point input, got {x.dtype}; convert it with x.float()")
    if channels is not None and x.shape[2] != channels:
        raise ValueError(
            f"{where} expects {channels} channels in the last dimension, got shape {tuple(x.shape)}"
            + ("; channels come last: x.transpose(1, 2)" if x.shape[1] == channels else "")
        )


def check_int(name: str, value: object, least: int | None = None) -> int:
    """Return an argument if it is an integer of at least `least`; otherwise raise."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, got {describe(value)}")
    if least is not None and value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return value


def check_finite(name: str, value: float) -> float:
    """Return an argument if it is a finite number; otherwise raise."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, got {describe(value)}")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}")
    return value


def check_bool(name: str, value: object) -> bool:
    """Return an argument if it is a bool; otherwise raise, because any nonempty string, even "no", counts as True."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {describe(value)}")
    return value


def check_bools(**values: object) -> None:
    """Raise unless each argument is True or False."""
    for name, value in values.items():
        check_bool(name, value)


def has_values(tensor: Tensor) -> bool:
    """Whether a tensor holds values: it does not on the meta device or under FakeTensorMode."""
    return tensor.untyped_storage().device.type != "meta"


def describe(value: object) -> str:
    """Describe an argument for an error message."""
    if isinstance(value, Tensor):
        return f"a {value.dtype} tensor of shape {tuple(value.shape)}"
    return f"{value!r} of type {type(value).__name__}"
