"""The interval of a hyperparameter, as an argument and in checkpoints."""

from collections.abc import Mapping
from numbers import Real
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dsptorch.functional.bounds import change_bounds
from dsptorch.functional.validate import describe, has_values

__all__ = ["Interval", "checked_bound", "checked_init", "converted", "fitted"]


class Interval(NamedTuple):
    """Bounds, and whether the scale between them is logarithmic."""

    low: float
    high: float
    log: bool

    def tensor(self, like: Tensor) -> Tensor:
        """The interval as a tensor, (low, high, log), in the dtype and on the device of another."""
        return torch.tensor(self, dtype=like.dtype, device=like.device)


def checked_bound(name: str, value: object) -> float:
    """Check that a bound is a number, and return it as a float."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {describe(value)}")
    return float(value)


def checked_init(init: object, shape: tuple[int, ...] | None, dtype: torch.dtype) -> Tensor:
    """Check the initial value of a hyperparameter, and return it in its shape, on the CPU if it has values."""
    if isinstance(init, bool) or not isinstance(init, Real | Tensor):
        raise TypeError(f"init must be a number or a tensor, got {describe(init)}")
    value = init.detach().to(dtype) if isinstance(init, Tensor) else torch.tensor(float(init), dtype=dtype)
    if has_values(value):
        value = value.cpu()
    if shape is None:
        shape = tuple(value.shape) or (1,)
    try:
        return value.expand(shape)
    except RuntimeError as error:
        raise ValueError(
            f"init must fit shape={tuple(shape)}, got a tensor of shape {tuple(value.shape)}; give a number, or leave "
            "out shape"
        ) from error


def fitted(
    state_dict: Mapping[str, Any], raw_key: str, interval_key: str, interval: Interval
) -> dict[str, Any]:
    """Return a state dict with the raw values converted to an interval.

    A state dict without an interval is taken to have the same interval.

    Raises:
        ValueError: If a value is outside, or another interval comes without raw values.
    """
    state = dict(state_dict)
    raw, saved = state.get(raw_key), state.get(interval_key)
    if not (isinstance(saved, Tensor) and saved.shape == (3,) and has_values(saved)):
        saved = None
    if isinstance(raw, Tensor) and raw.is_floating_point() and has_values(raw):
        raw = raw.to(torch.promote_types(raw.dtype, torch.float32))
        state[raw_key] = raw if saved is None else converted(raw, saved, interval)
        state[interval_key] = interval.tensor(raw)
    elif saved is not None and not _equal(saved, interval):
        low, high, _ = saved.tolist()
        raise ValueError(
            f"the interval [{low:g}, {high:g}] came without the raw values that were saved with it, and differs from "
            f"[{interval.low:g}, {interval.high:g}]; load both together, or build the hyperparameter with the same"
        )
    return state


def converted(raw: Tensor, saved: Tensor, interval: Interval) -> Tensor:
    """Return the raw values that give the values of a checkpoint in another interval.

    Args:
        raw: The saved raw values.
        saved: The interval that was saved with them, (3,).
        interval: The interval to load them into.

    Raises:
        ValueError: If a value is outside.
    """
    if _equal(saved, interval):
        return raw
    low, high, log = saved.tolist()
    try:
        return change_bounds(raw, low, high, interval.low, interval.high, log=bool(log), new_log=interval.log)
    except ValueError as error:
        raise ValueError(
            f"the hyperparameter was saved within [{low:g}, {high:g}] and is loaded into [{interval.low:g}, "
            f"{interval.high:g}]: {error}; widen the bounds"
        ) from error


def _equal(saved: Tensor, interval: Interval) -> bool:
    """Whether two intervals are equal in the coarser of their dtypes: a checkpoint may have been cast."""
    dtype = saved.dtype if saved.dtype.itemsize < 4 else torch.float32
    return torch.equal(saved.to(dtype), interval.tensor(saved).to(dtype))
