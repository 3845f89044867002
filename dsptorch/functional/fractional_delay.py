"""Delays by a fractional number of samples that may change at each sample, by interpolation between past samples."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dsptorch.functional.recurrence import recur
from dsptorch.functional.timeline import Segments
from dsptorch.functional.validate import check_int, check_signal, describe

__all__ = ["allpass_delay", "fractional_delay"]


def fractional_delay(
    x: Tensor, delay: Tensor, max_delay: int, *, history: int = 0, segments: Segments | None = None
) -> Tensor:
    """Delay each channel by a time-varying number of samples, with linear interpolation.

        y[t, c] = (1 - f) x[t - k, c] + f x[t - k - 1, c],   k + f = delay[t, c],   k = floor(delay[t, c])

    The output uses no sample after t, and none before t - max_delay. Its derivative in the delay is
    x[t - k - 1] - x[t - k]: the output is continuous in the delay, and its slope jumps at whole delays.

    Args:
        x: The signal, preceded by `history` earlier samples. Samples before those are zero.
        delay: Samples, in [0, max_delay]; floating-point.
        max_delay: The greatest delay, at least 1.
        history: Number of samples at the beginning of x that have no output.
        segments: Segments of rows that hold several signals. Each signal is then delayed by itself.

    Shape:
        x: (batch, history + time, channels). delay: (batch or 1, time, groups), one delay for each group of
        channels; groups are of equal size. Result: (batch, time, channels), in the dtype of x.

    Raises:
        TypeError, ValueError: If the shapes do not fit.

    Example:
        >>> x = torch.tensor([1.0, 2.0, 4.0, 8.0]).reshape(1, 4, 1)
        >>> fractional_delay(x, torch.tensor([0.0, 1.0, 0.5, 1.25]).reshape(1, 4, 1), max_delay=2).flatten()
        tensor([1.0000, 1.0000, 3.0000, 3.5000])

    References:
        T. I. Laakso, V. Valimaki, M. Karjalainen and U. K. Laine, "Splitting the unit delay", IEEE Signal Processing
        Magazine 13(1), 1996, pages 30-60.
    """
    seen = _padded(x, delay, max_delay, history)
    whole, part = _split(delay, max_delay, 0.0)
    dtype = torch.promote_types(x.dtype, delay.dtype)
    near, far = (_taken(seen, lag, max_delay, segments).to(dtype) for lag in (whole, whole + 1))
    return torch.lerp(near, far, part.unsqueeze(-1).to(dtype)).flatten(2).to(x.dtype)


def allpass_delay(
    x: Tensor,
    delay: Tensor,
    max_delay: int,
    zi: Tensor | None = None,
    *,
    history: int = 0,
    segments: Segments | None = None,
) -> tuple[Tensor, Tensor]:
    """Delay each channel by a time-varying number of samples, with first-order allpass interpolation.

        y[t, c] = a (x[t - k, c] - y[t - 1, c]) + x[t - k - 1, c],   a = (1 - f) / (1 + f)
        k + f = delay[t, c],   f in [0.49, 1.49)

    At a fixed delay all frequencies keep their amplitude; linear interpolation attenuates high frequencies. With f in
    this range the coefficient a stays in (-0.2, 0.35), so transients after a change of the delay fade within a few
    samples. The output jumps slightly where k changes. The limit 0.49 keeps these jumps away from common delays such as
    halves and quarters, where rounding would decide k.

    Args:
        x: See `fractional_delay`.
        delay: Samples, in [0.5, max_delay]; floating-point.
        max_delay: The greatest delay, at least 1.
        zi: The output before the first sample; None for zero.
        history: See `fractional_delay`.
        segments: See `fractional_delay`.

    Shape:
        x: (batch, history + time, channels). delay: (batch or 1, time, groups). zi: (batch, channels).

    Returns:
        y, (batch, time, channels), in the dtype of x; and zf, float32 at least, the zi of the next chunk.

    Raises:
        TypeError, ValueError: If the shapes do not fit.

    Example:
        >>> impulse = torch.tensor([1.0, 0.0, 0.0, 0.0]).reshape(1, 4, 1)
        >>> allpass_delay(impulse, torch.full((1, 4, 1), 1.25), max_delay=2)[0].flatten().round(decimals=4)
        tensor([-0.1111,  0.9877,  0.1097,  0.0122])

    References:
        T. I. Laakso, V. Valimaki, M. Karjalainen and U. K. Laine, "Splitting the unit delay", IEEE Signal Processing
        Magazine 13(1), 1996, pages 30-60; J. Dattorro, "Effect design, part 2: delay-line modulation and chorus",
        Journal of the Audio Engineering Society 45(10), 1997, pages 764-788.
    """
    seen = _padded(x, delay, max_delay, history)
    whole, part = _split(delay, max_delay, 0.49)
    dtype = torch.promote_types(torch.promote_types(x.dtype, delay.dtype), torch.float32)
    near, far = (_taken(seen, lag, max_delay, segments).to(dtype) for lag in (whole, whole + 1))
    a = ((1 - part) / (1 + part)).unsqueeze(-1).to(dtype).expand(near.shape)
    begins = None if segments is None else segments.position == 0
    y, zf = recur((a * near + far).flatten(2), -a.flatten(2), zi, begins)
    return y.to(x.dtype), zf


def _split(delay: Tensor, max_delay: int, least: float) -> tuple[Tensor, Tensor]:
    """Split a delay into whole samples and a remainder of at least `least`; a NaN delay has a NaN remainder."""
    whole = (delay.detach() - least).floor().long().clamp(0, max_delay - 1)
    return whole, delay - whole


def _padded(x: Tensor, delay: Tensor, max_delay: int, history: int) -> Tensor:
    """Pad the signal to `max_delay` samples before its first output, after checking the arguments."""
    check_signal(x, None, "a delay")
    check_int("max_delay", max_delay, least=1)
    if not delay.is_floating_point():
        raise TypeError(f"delay must be floating-point, got {describe(delay)}; convert it with delay.float()")
    batch, time, channels = x.shape[0], x.shape[1] - history, x.shape[2]
    if delay.dim() != 3 or delay.shape[1] != time or delay.shape[0] not in (1, batch):
        raise ValueError(
            f"delay must be of shape (batch or 1, time, groups), here ({batch} or 1, {time}, groups), got "
            f"{tuple(delay.shape)}"
        )
    if not delay.shape[2] or channels % delay.shape[2]:
        raise ValueError(
            f"the groups of delay must divide the {channels} channels of the signal, got {delay.shape[2]}"
        )
    return x if history == max_delay else F.pad(x, (0, 0, max_delay - history, 0))


def _taken(seen: Tensor, lag: Tensor, max_delay: int, segments: Segments | None) -> Tensor:
    """For each time and group of channels, the sample `lag` steps earlier; zero before its signal begins.

    Shape:
        seen: (batch, max_delay + time, channels). lag: (batch or 1, time, groups).
        Result: (batch, time, groups, channels / groups).
    """
    batch, length, channels = seen.shape
    time, groups = lag.shape[1:]
    at = torch.arange(time, device=seen.device).unsqueeze(-1) + max_delay - lag
    if groups == channels:
        taken = seen.gather(1, at.expand(batch, -1, -1)).unsqueeze(-1)
    else:  # the channels of a group are contiguous: copy them together
        first = torch.arange(batch, device=seen.device).reshape(batch, 1, 1) * length
        rows = (first + at) * groups + torch.arange(groups, device=seen.device)
        width = channels // groups
        taken = seen.reshape(batch * length * groups, width).index_select(0, rows.flatten())
        taken = taken.reshape(batch, time, groups, width)
    if segments is None:
        return taken
    return taken.masked_fill((lag > segments.position.unsqueeze(-1)).unsqueeze(-1), 0)
