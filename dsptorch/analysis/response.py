"""Plots of the frequency response of filters, with aliases, and of the impulse response."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from dsptorch.analysis.axes import INK, axes_or_new, look, style
from dsptorch.analysis.filters import channel_of, filter_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from torch import Tensor

    from dsptorch.functional import PeriodicFIR
    from dsptorch.layers import Layer

__all__ = ["plot_impulse", "plot_response"]

_FLOOR = -120.0  # decibels


def plot_response(
    what: PeriodicFIR | Layer,
    *,
    channel: int = 0,
    num: int = 512,
    decibels: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Plot the gain of a filter over frequency, and the gains to its aliases.

    A filter of period P turns a tone at f into tones at f + m / P; the curve of alias m is the gain to that tone. A
    layer that does not hold a `PeriodicFIR` is taken as linear and measured by impulses, one at each phase.

    Args:
        what: A filter, or a layer of rate 1 with a period.
        channel: The channel to draw.
        num: Number of frequencies.
        decibels: True for gains in decibels, down to -120; False for linear gains.
        ax: The matplotlib axes to draw on; None for a new figure.

    Returns:
        The axes; `ax.figure.savefig("response.svg")` writes them.

    Raises:
        ImportError: If matplotlib is missing (the extra `plots` installs it).
        TypeError, ValueError: If an argument is not as described.

    Example:
        >>> from dsptorch import Multirate
        >>> ax = plot_response(Multirate(4))
        >>> [line.get_label() for line in ax.lines]
        ['response', 'alias 1 of 1']

    References:
        P. P. Vaidyanathan, Multirate Systems and Filter Banks, 1993, sec. 10.1.
    """
    ax = axes_or_new(ax, "plot_response")
    freq, response = filter_of(what).frequency_response(num)
    gains = channel_of(response, channel).abs()
    for m, gain in enumerate(gains):
        label = f"alias {m} of {len(gains) - 1}" if m else "response"
        y = _decibels(gain) if decibels else gain
        ax.plot(freq.detach().cpu(), y, label=label, linewidth=1.5, **look(m))
    return style(ax, "frequency (cycles per sample)", "gain (dB)" if decibels else "gain")


def plot_impulse(what: PeriodicFIR | Layer, *, channel: int = 0, ax: Axes | None = None) -> Axes:
    """Plot the impulse response of a filter, with one curve for each phase of the impulse.

    Args:
        what: A filter, or a layer of rate 1 with a period.
        channel: The channel to draw.
        ax: The matplotlib axes to draw on; None for a new figure.

    Returns:
        The axes.

    Raises:
        ImportError: If matplotlib is missing (the extra `plots` installs it).
        TypeError, ValueError: If an argument is not as described.

    Example:
        >>> from dsptorch import FIR
        >>> ax = plot_impulse(FIR(4, kernel_size=3))
        >>> ax.lines[0].get_ydata().tolist()
        [1.0, 0.0, 0.0]
    """
    ax = axes_or_new(ax, "plot_impulse")
    filter_ = filter_of(what)
    for phase in range(filter_.period):
        answer = channel_of(filter_.impulse_response(phase), channel)
        time = torch.arange(len(answer)) - filter_.lookahead
        label = None if filter_.period == 1 else f"phase {phase}"
        ax.plot(time, answer, marker="o", markersize=3, linewidth=1.2, label=label, **look(phase))
    ax.axvline(0, color=INK, linewidth=0.6)
    return style(ax, "time after the impulse (samples)", "answer")


def _decibels(gain: Tensor) -> Tensor:
    return 20 * gain.clamp(min=10 ** (_FLOOR / 20)).log10()
