"""Maps between an unbounded parameter and a value within an interval."""

import math

import torch
from torch import Tensor

from dsptorch.functional.validate import check_bool, check_bools, has_values

__all__ = ["change_bounds", "from_bounded", "to_bounded"]

_INSIDE = 0.01  # a value on a bound is moved inside by 1 % of the interval, so that it can learn
_SATURATED = 40.0  # at this argument the sigmoid is exactly 1 in float64 too


def to_bounded(raw: Tensor, low: float, high: float, *, log: bool = False) -> Tensor:
    """Map any real number into ``[low, high]``, smoothly and increasingly.

    The scale is linear, or linear in the logarithm::

        v = lerp(low, high, sigmoid(raw))
        v = exp(lerp(log low, log high, sigmoid(raw)))

    ``lerp`` stays within the interval under rounding, which ``low + s (high - low)`` does not. The exponential is
    clamped. Bounds are rounded to the dtype of the result. No value is read on the host.

    Args:
        raw: Unbounded parameter; half precision is computed and returned in float32.
        low: Lower bound, finite; above 0 if ``log``.
        high: Upper bound, finite, above ``low``.
        log: Whether the scale is logarithmic (for rates, times and frequencies).

    Shape:
        Output: as ``raw``; float64 for float64, else float32.

    Raises:
        TypeError: If ``raw`` is not floating-point.
        ValueError: If the bounds are not an interval that the dtype can hold.

    Example:
        >>> to_bounded(torch.tensor([-100.0, 0.0, 100.0]), 0.5, 4.5)
        tensor([0.5000, 2.5000, 4.5000])
        >>> to_bounded(torch.tensor(0.0), 0.01, 100.0, log=True)
        tensor(1.)
    """
    if not raw.is_floating_point():
        raise TypeError(f"raw must be a floating-point tensor, got {raw.dtype}")
    dtype = torch.promote_types(raw.dtype, torch.float32)
    _check_interval(low, high, log, dtype)
    weight = torch.sigmoid(raw.to(dtype))
    # full() fills on the device: no copy from the host, and nothing for autograd or vmap to follow.
    start, end = (torch.full((), bound, dtype=dtype, device=raw.device) for bound in (low, high))
    if log:
        return torch.lerp(start.log(), end.log(), weight).exp().clamp(start, end)
    return torch.lerp(start, end, weight)


def from_bounded(value: float | Tensor, low: float, high: float, *, log: bool = False) -> Tensor:
    """Return the ``raw`` that :func:`to_bounded` maps to ``value``: its inverse, for initial values.

    With u the position of the value in the (logarithmic) interval, from 0 to 1::

        raw = log(u / (1 - u))

    A value on a bound has no finite ``raw``, so it is first moved inside by 1 % of the (logarithmic) interval.

    Args:
        value: Number or tensor in ``[low, high]``.
        low: Lower bound, finite; above 0 if ``log``.
        high: Upper bound, finite, above ``low``.
        log: Whether the scale is logarithmic.

    Shape:
        Output: as ``value`` (``()`` for a number); float64 for float64, else float32 (the default dtype for a
        number, float32 at least). It is computed in float64 and carries no gradient.

    Raises:
        ValueError: If ``value`` is outside, or the bounds are not an interval that the dtype can hold.

    Example:
        >>> from_bounded(2.5, 0.5, 4.5)
        tensor(0.)
        >>> to_bounded(from_bounded(0.0, 0.0, 1.0), 0.0, 1.0)
        tensor(0.0100)
    """
    if isinstance(value, Tensor):
        inner = value.detach()
        if not inner.is_floating_point():
            raise TypeError(f"value must be a number or a floating-point tensor, got {value.dtype}")
        given = inner.dtype
    else:
        inner = torch.tensor(float(value), dtype=torch.float64)
        given = torch.get_default_dtype()
    dtype = torch.promote_types(given, torch.float32)
    _check_interval(low, high, log, dtype)
    # In its own dtype, a tensor's value on a bound may be rounded to slightly outside the given bound.
    start, end = torch.tensor([low, high], dtype=inner.dtype, device=inner.device).double()
    point = inner.double()
    outside = ~((point >= start) & (point <= end))
    if has_values(outside) and bool(outside.any()):
        raise ValueError(f"value must lie in [{low}, {high}], got {point[outside][0].item()}")
    if log:
        start, end, point = start.log(), end.log(), point.log()
    unit = (point - start) / (end - start)
    unit = torch.where(unit <= 0, _INSIDE, torch.where(unit >= 1, 1 - _INSIDE, unit))
    return torch.logit(unit).to(dtype)


@torch.no_grad()
def change_bounds(
    raw: Tensor,
    low: float,
    high: float,
    new_low: float,
    new_high: float,
    *,
    log: bool = False,
    new_log: bool = False,
) -> Tensor:
    """Return the ``raw`` that gives the same value with other bounds, or on another scale.

    Unlike :func:`from_bounded`, it leaves a value on a bound where it is.

    Args:
        raw: Unbounded parameter.
        low: Present lower bound.
        high: Present upper bound.
        new_low: New lower bound.
        new_high: New upper bound.
        log: Whether the present scale is logarithmic.
        new_log: Whether the new scale is logarithmic.

    Shape:
        Output: as ``raw``; float64 for float64, else float32.

    Raises:
        ValueError: If a value is outside the new bounds, or the bounds are not an interval that the dtype can hold.

    Example:
        >>> raw = from_bounded(torch.tensor(0.3), 0.2, 0.6)
        >>> to_bounded(change_bounds(raw, 0.2, 0.6, 0.0, 1.0), 0.0, 1.0)
        tensor(0.3000)
    """
    check_bools(log=log, new_log=new_log)
    value = to_bounded(raw, low, high, log=log)
    _check_interval(new_low, new_high, new_log, value.dtype)
    start, end = torch.tensor([new_low, new_high], dtype=value.dtype, device=value.device).double()
    point = value.double()
    # Rounding alone may put a value slightly outside.
    room = 4 * torch.finfo(value.dtype).eps * torch.maximum(start.abs(), end.abs())
    outside = ~((point >= start - room) & (point <= end + room))
    if bool(outside.any()):
        raise ValueError(f"value must lie in [{new_low}, {new_high}], got {point[outside][0].item():.6g}")
    point = point.clamp(start, end)
    if new_log:
        start, end, point = start.log(), end.log(), point.log()
    return torch.logit((point - start) / (end - start)).clamp(-_SATURATED, _SATURATED).to(value.dtype)


def _check_interval(low: float, high: float, log: bool, dtype: torch.dtype) -> None:
    check_bool("log", log)
    if not (-math.inf < low < high < math.inf):
        raise ValueError(f"bounds must be finite with low < high, got low={low}, high={high}")
    if log and low <= 0:
        raise ValueError(f"a logarithmic scale needs low > 0, got low={low}: raise it or use log=False")
    finfo = torch.finfo(dtype)
    if max(-low, high, high - low) > finfo.max:
        raise ValueError(f"bounds and their distance must fit in {dtype}, got low={low}, high={high}")
    if log and (low < finfo.tiny or high * (math.log(high) - math.log(low)) > finfo.max):
        raise ValueError(
            f"on a logarithmic scale low must be at least {finfo.tiny:.3g}, and high * log(high / low), the greatest "
            f"gradient, must fit in {dtype}, got low={low}, high={high}; take bounds that the value needs"
        )
