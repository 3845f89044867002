"""Plots of filterbanks: their bands, and the bands before and after training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from dsptorch.analysis.axes import COLOURS, INK, axes_or_new, look, style
from dsptorch.analysis.filters import bank_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["band_centres", "plot_bands", "plot_filters"]

_NUM = 512
_FLOOR = 1e-6


def _frequencies(filters: Tensor, sample_rate: float | None, num: int = _NUM) -> tuple[Tensor, Tensor]:
    """Frequencies from 0 to half the sample rate, and the magnitudes at these frequencies: (bands, frequencies)."""
    freq = torch.linspace(0, 0.5, num, dtype=torch.float64)
    taps = torch.arange(filters.shape[1], dtype=torch.float64)
    tones = torch.polar(
        torch.ones(len(taps), num, dtype=torch.float64), -2 * torch.pi * torch.outer(taps, freq)
    )
    return freq * (sample_rate or 1.0), (filters.to(torch.complex128) @ tones).abs()


def band_centres(filters: Tensor | nn.Module, *, sample_rate: float | None = None) -> tuple[Tensor, Tensor]:
    """The centre and the width of each band: mean and standard deviation of frequency, weighted by power.

        centre_k = sum_f f |H_k(f)|^2 / sum_f |H_k(f)|^2

    Args:
        filters: A matrix (bands, taps), real or complex, or a bank.
        sample_rate: The sample rate in Hz; None for frequencies in cycles per sample.

    Returns:
        Centres and widths, (bands,) each.

    Example:
        >>> from dsptorch import FilterBank
        >>> centres, widths = band_centres(FilterBank(1, num_bands=4))
        >>> [round(centre, 2) for centre in centres.tolist()]
        [0.07, 0.19, 0.31, 0.43]
    """
    freq, magnitude = _frequencies(bank_of(filters), sample_rate)
    power = magnitude.square()
    power = power / power.sum(1, keepdim=True).clamp(min=torch.finfo(power.dtype).tiny)
    centres = power @ freq
    return centres, (power * (freq - centres.unsqueeze(1)).square()).sum(1).sqrt()


def plot_bands(
    bank: Tensor | nn.Module,
    *,
    sample_rate: float | None = None,
    decibels: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Plot the gain of each band of a filterbank.

    Args:
        bank: A `FilterBank` or a layer with one in it, a bank of `dsptorch.audio`, or a matrix (bands, taps).
        sample_rate: The sample rate in Hz; None for frequencies in cycles per sample.
        decibels: True for gains in decibels, False for linear gains.
        ax: The matplotlib axes to draw on; None for a new figure.

    Returns:
        The axes, with one line for each band.

    Raises:
        ImportError: If matplotlib is missing (the extra `plots` installs it).
        TypeError, ValueError: If there are no filters.

    Example:
        >>> from dsptorch import FilterBank
        >>> len(plot_bands(FilterBank(2, num_bands=8)).lines)
        8
    """
    ax = axes_or_new(ax, "plot_bands")
    freq, gains = _frequencies(bank_of(bank), sample_rate)
    for k, gain in enumerate(gains):
        y = 20 * gain.clamp(min=_FLOOR).log10() if decibels else gain
        ax.plot(freq, y, linewidth=1.2, **look(k))
    if decibels:
        top = 20 * gains.max().clamp(min=_FLOOR).log10().item()
        ax.set_ylim(top - 80, top + 5)
    unit = "Hz" if sample_rate else "cycles per sample"
    return style(ax, f"frequency ({unit})", "gain (dB)" if decibels else "gain")


def plot_filters(
    before: Tensor | nn.Module,
    after: Tensor | nn.Module,
    *,
    sample_rate: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Plot the centre and the width of each band of a bank before and after training.

    Args:
        before: The bank before training: a module (such as a deepcopy) or its matrix of filters (bands, taps).
        after: The bank after training, with as many bands.
        sample_rate: The sample rate in Hz; None for frequencies in cycles per sample.
        ax: The matplotlib axes to draw on; None for a new figure.

    Returns:
        The axes: open circles before, filled squares after, and a line between the two points of a band.

    Raises:
        ImportError: If matplotlib is missing (the extra `plots` installs it).
        ValueError: If the numbers of bands differ.

    Example:
        >>> from copy import deepcopy
        >>> from dsptorch import FilterBank
        >>> bank = FilterBank(1, num_bands=4)
        >>> old = deepcopy(bank)
        >>> _ = nn.init.normal_(bank.filters.angles)
        >>> plot_filters(old, bank).get_ylabel()
        'width (cycles per sample)'
    """
    old, new = band_centres(before, sample_rate=sample_rate), band_centres(after, sample_rate=sample_rate)
    if len(old[0]) != len(new[0]):
        raise ValueError(f"expected as many bands before as after, got {len(old[0])} and {len(new[0])}")
    ax = axes_or_new(ax, "plot_filters")
    for x0, y0, x1, y1 in zip(*old, *new, strict=True):
        ax.plot([x0, x1], [y0, y1], color=INK, linewidth=0.8)
    ax.plot(*old, "o", color=COLOURS[0], fillstyle="none", label="before")
    ax.plot(*new, "s", color=COLOURS[1], markersize=4, label="after")
    unit = "Hz" if sample_rate else "cycles per sample"
    return style(ax, f"centre ({unit})", f"width ({unit})")
