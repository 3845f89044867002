"""Recursive filters of the first and second order, with scipy's names: `lfilter`, `sosfilt`, `zi` and `zf`.

    y[t] = v[t] - a1 y[t-1] - a2 y[t-2],   v[t] = b0 x[t] + b1 x[t-1] + b2 x[t-2]

The states are those of scipy, which runs the transposed direct form II:

    y[t] = b0 x[t] + s1[t-1],   s1[t] = s2[t-1] + b1 x[t] - a1 y[t],   s2[t] = b2 x[t] - a2 y[t]

So zi = (s1, s2) is added to the first samples of v, and zf holds what x and y add to the samples after the chunk.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dsptorch.functional.filtering import latest
from dsptorch.functional.kernel import lptv_filter
from dsptorch.functional.memo import is_transformed
from dsptorch.functional.recurrence import recur_lags
from dsptorch.functional.timeline import Segments
from dsptorch.functional.validate import check_signal, describe

__all__ = ["filter_sections", "lfilter", "pole_radius", "sosfilt"]


def sosfilt(
    sos: Any, x: Tensor, zi: Tensor | None = None, *, segments: Segments | None = None
) -> Tensor | tuple[Tensor, Tensor]:
    """Filter by a cascade of second-order sections: `scipy.signal.sosfilt` along dimension 1 (time).

    Args:
        sos: The sections, each b0, b1, b2, 1, a1, a2, with all poles inside the unit circle: a tensor, or an array as
            scipy's designs return it (`output="sos"`). One set for each channel, or one for all.
        x: The signal.
        zi: The states before the first sample, in scipy's form; None at rest.
        segments: Segments of rows that hold several signals. Each signal is then filtered by itself.

    Shape:
        sos: (sections, 6) or (sections, 6, channels). x: (batch, time, channels). zi: (sections, batch, 2, channels).
        Result: as x, in its dtype. It is computed in the widest dtype of x and sos, float32 at least.

    Returns:
        y; or (y, zf) if zi is given. zf, float32 at least, is the zi of the next chunk.

    Raises:
        TypeError, ValueError: If a shape does not fit, or a section is not stable. (Values are checked only on the CPU,
            and not in compiled code; `linear_recurrence` accepts any coefficients.)

    Example:
        >>> sos = torch.tensor([[0.25, 0.5, 0.25, 1.0, -0.5, 0.25]])
        >>> sosfilt(sos, torch.ones(1, 4, 1)).flatten()
        tensor([0.2500, 0.8750, 1.3750, 1.4688])

    References:
        A. V. Oppenheim and R. W. Schafer, Discrete-Time Signal Processing, 3rd ed., 2010, sec. 6.3 (direct forms,
        cascades).
    """
    check_signal(x, None, "sosfilt")
    sos = _coefficients("sos", sos, x)
    if sos.dim() not in (2, 3) or sos.shape[1] != 6 or not _fits(sos.shape[2:], x):
        raise ValueError(
            f"sos must be of shape (sections, 6) or (sections, 6, {x.shape[2]}), got {describe(sos)}; "
            "scipy.signal.tf2sos makes sections of b and a"
        )
    expected = (len(sos), x.shape[0], 2, x.shape[2])
    if zi is not None and tuple(zi.shape) != expected:
        raise ValueError(
            f"zi must be of shape (sections, batch, 2, channels) = {expected}, got {describe(zi)}"
        )
    if _is_readable(sos):
        if not (sos[:, 3] == 1).all():
            raise ValueError(
                f"sos[:, 3] must be 1, got {sos[:, 3].flatten().tolist()}; divide each section by it"
            )
        for number, section in enumerate(sos):
            _check_stable(f"section {number} of sos", section[4], section[5])
    y, states = filter_sections(sos, x, None if zi is None else zi.unbind(), segments)
    return y.to(x.dtype) if zi is None else (y.to(x.dtype), torch.stack(states) if states else zi.clone())


def lfilter(
    b: Any, a: Any, x: Tensor, zi: Tensor | None = None, *, segments: Segments | None = None
) -> Tensor | tuple[Tensor, Tensor]:
    """Filter by a rational transfer function up to order 2: `scipy.signal.lfilter` along dimension 1 (time).

        a0 y[t] = b0 x[t] + b1 x[t-1] + b2 x[t-2] - a1 y[t-1] - a2 y[t-2]

    Args:
        b: The numerator, 1 to 3 coefficients: a tensor, a list or an array. One set for each channel, or one for all.
        a: The denominator, in the same form, with all poles inside the unit circle.
        x: The signal.
        zi: The states before the first sample, in scipy's form; None at rest.
        segments: Segments of rows that hold several signals. Each signal is then filtered by itself.

    Shape:
        b, a: (up to 3,) or (up to 3, channels). x: (batch, time, channels). zi: (batch, order, channels) with
        order = max(len(a), len(b)) - 1. Result: as x, in its dtype. It is computed in the widest dtype of all, float32
        at least.

    Returns:
        y; or (y, zf) if zi is given. zf, float32 at least, is the zi of the next chunk.

    Raises:
        TypeError, ValueError: If a shape does not fit, the order is above 2, or the filter is not stable. (Values are
            checked only on the CPU, and not in compiled code; `linear_recurrence` accepts any coefficients.)

    Example:
        >>> lfilter([0.5], [1.0, -0.5], torch.ones(1, 3, 1)).flatten()
        tensor([0.5000, 0.7500, 0.8750])

    References:
        A. V. Oppenheim and R. W. Schafer, Discrete-Time Signal Processing, 3rd ed., 2010, sec. 6.3 (direct forms).
    """
    check_signal(x, None, "lfilter")
    b, a = _coefficients("b", b, x), _coefficients("a", a, x)
    for name, taps in (("b", b), ("a", a)):
        if taps.dim() not in (1, 2) or not len(taps) or not _fits(taps.shape[1:], x):
            raise ValueError(
                f"{name} must be of shape (n,) or (n, {x.shape[2]}), n from 1 to 3, got {describe(taps)}"
            )
    order = max(len(b), len(a)) - 1
    if order > 2:
        raise ValueError(
            f"lfilter takes filters up to order 2, got order {order}, whose direct form is ill-conditioned; give "
            "second-order sections to sosfilt (scipy.signal.tf2sos(b, a), or output='sos' in scipy's designs)"
        )
    expected = (x.shape[0], order, x.shape[2])
    if zi is not None and tuple(zi.shape) != expected:
        raise ValueError(f"zi must be of shape (batch, order, channels) = {expected}, got {describe(zi)}")
    b, a = (_lengthened(taps, order + 1) for taps in (b, a))
    if _is_readable(a):
        if not a[0].all():
            raise ValueError("a[0] must not be 0: it is the coefficient of y[t]")
        if order:
            _check_stable("the filter", a[1] / a[0], a[2] / a[0] if order == 2 else 0 * a[0])
    y, zf = _section(b / a[0], a[1:] / a[0], x, zi, segments)
    return y.to(x.dtype) if zi is None else (y.to(x.dtype), zf)


def filter_sections(
    sos: Tensor, x: Tensor, states: Sequence[Tensor] | None, segments: Segments | None
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The cascade of `sosfilt` without checks: returns the output and the states of each section, float32 at least.

    Args:
        sos: The sections, (sections, 6) or (sections, 6, channels).
        x: The signal, (batch, time, channels).
        states: The states of each section before the first sample, (batch, 2, channels) each; None at rest.
        segments: Segments of rows that hold several signals.
    """
    after = []
    for number, section in enumerate(sos.unbind()):
        x, state = _section(section[:3], section[4:], x, None if states is None else states[number], segments)
        after.append(state)
    return x, tuple(after)


def pole_radius(a1: Tensor, a2: Tensor) -> Tensor:
    """The greatest modulus of the roots of z^2 + a1 z + a2, in float64."""
    a1, a2 = a1.double(), a2.double()
    inside = a1.square() - 4 * a2
    return torch.where(inside < 0, a2.abs().sqrt(), (a1.abs() + inside.abs().sqrt()) / 2)


def _section(
    b: Tensor, a: Tensor, x: Tensor, state: Tensor | None, segments: Segments | None
) -> tuple[Tensor, Tensor]:
    """One section: b (order + 1, ...), and a (order, ...) without its leading 1, for each channel or for all."""
    dtype = torch.promote_types(
        torch.promote_types(b.dtype, a.dtype), torch.promote_types(x.dtype, torch.float32)
    )
    order, time, x = len(a), x.shape[1], x.to(dtype)
    if not order:
        return b[0] * x, x.new_zeros(len(x), 0, x.shape[2])
    b, a = (part.to(dtype).reshape(len(part), -1).expand(-1, x.shape[2]) for part in (b, a))
    state = None if state is None else state.to(dtype)
    if not isinstance(time, torch.SymInt) and time == 1:
        return _one_sample(b, a, x, state, segments)
    v = lptv_filter(x, b.unsqueeze(0), range(order + 1), segments=segments)
    if state is not None:
        first = F.pad(state, (0, 0, 0, time - order))
        if segments is not None:
            begun = segments.position <= torch.arange(time, device=x.device)
            first = first.masked_fill(begun.unsqueeze(-1), 0)
        v = v + first
    begins = None if segments is None else segments.position == 0
    y = recur_lags(v.unsqueeze(-2), -a[:, None, None], None, begins)[0].squeeze(-2)
    y = (
        y.clone() if y.requires_grad else y
    )  # a copy: the backward pass needs y, and the user may change the output in place
    last_x, last_y = latest(x, order, segments), latest(y, order, segments)
    return y, _to_come(b[1:], last_x) - _to_come(a, last_y) + _left_over(state, time, segments)


def _one_sample(
    b: Tensor, a: Tensor, x: Tensor, state: Tensor | None, segments: Segments | None
) -> tuple[Tensor, Tensor]:
    """One section for a single sample, from the definition of the states."""
    before = x.new_zeros(len(x), len(a), x.shape[2]) if state is None else state
    if segments is not None:
        before = before.masked_fill((segments.position == 0).unsqueeze(-1), 0)
    y = b[0] * x + before[:, :1]
    # A copy, as above: the states need y.
    return y.clone() if y.requires_grad else y, F.pad(before[:, 1:], (0, 0, 0, 1)) + b[1:] * x - a * y


def _to_come(taps: Tensor, last: Tensor) -> Tensor:
    """The contribution of the last samples to the samples after them: (batch, order, channels)."""
    parts = [(taps[i:] * last[:, i:].flip(1)).sum(1) for i in range(len(taps))]
    return torch.stack(parts, 1)


def _left_over(state: Tensor | None, time: int, segments: Segments | None) -> Tensor | float:
    """The contribution of a state to samples after the chunk, for a chunk shorter than the filter."""
    if state is None:
        return 0.0
    order = state.shape[1]
    later = (torch.arange(order, device=state.device) + time).clamp(max=2 * order - 1)
    left = F.pad(state, (0, 0, 0, order)).index_select(1, later)
    if segments is None:
        return left
    return left.masked_fill((segments.next_position <= time)[:, None, None], 0)


def _coefficients(name: str, values: Any, x: Tensor) -> Tensor:
    if not isinstance(values, Tensor):
        dtype = None if hasattr(values, "dtype") else torch.promote_types(x.dtype, torch.float32)
        values = torch.as_tensor(values, dtype=dtype, device=x.device)
    if not values.is_floating_point():
        raise TypeError(f"{name} must hold real floating-point coefficients, got {values.dtype}")
    taps: Tensor = values
    return taps


def _fits(channels: Sequence[int], x: Tensor) -> bool:
    return len(channels) == 0 or tuple(channels) == (x.shape[2],)


def _lengthened(taps: Tensor, length: int) -> Tensor:
    return torch.cat([taps, taps.new_zeros(length - len(taps), *taps.shape[1:])])


def _is_readable(values: Tensor) -> bool:
    """Whether values may be read: on a device a read waits, and in a trace a branch on a value is not allowed."""
    return values.device.type == "cpu" and not is_transformed()


def _check_stable(name: str, a1: Tensor, a2: Tensor) -> None:
    radius = pole_radius(a1, a2).detach()
    if not (radius < 1).all():
        raise ValueError(
            f"{name} must have its poles inside the unit circle, got one at radius {radius.max().item():.6g}, whose "
            "response does not fade away; move it inside, or use linear_recurrence, which takes any coefficient"
        )
