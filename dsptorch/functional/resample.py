"""Changing the rate of a signal by L / M: L outputs go with every M inputs, the first of both at the same time."""

import math

from torch import Tensor

from dsptorch.functional.polyphase_chunk import Chunk, filter_between_rates
from dsptorch.functional.validate import describe

__all__ = ["resample"]


def resample(
    seen: Tensor,
    taps: Tensor,
    up: int,
    down: int,
    *,
    history: int = 0,
    phase: int = 0,
    position: Tensor | None = None,
) -> Tensor:
    """Change the rate of a signal by up / down, causally, and return the outputs that are due with its chunk.

    With L = up / g, M = down / g, g = gcd(up, down)::

        y[n, c] = sum_k  h[(n M mod L) + k L, c] * x[floor(n M / L) - k, c]

    From the start of a signal that is ``scipy.signal.upfirdn(h, x, up, down)[: ceil(T * up / down)]``. Output n
    depends on no input after floor(n M / L). Decimation is L = 1, upsampling is M = 1. For ``torch.export`` with a
    dynamic time, give decimation a least time of M + 1: a graph for many lengths has two outputs at least.

    One channel, and filters of many taps or phases, go through matrices with zeros for the samples that an output does
    not use: where such a sample is infinite or NaN, the output is NaN.

    Args:
        seen: The chunk, behind its history.
        taps: The filter h, at the rate of the input times ``up``.
        up: Outputs per ``down`` inputs, at least 1.
        down: See ``up``.
        history: How many samples of ``seen`` come before the chunk; those before them are zero. Of a signal that goes
            on, the last ceil(numtaps / up) - 1 are needed.
        phase: The position of the chunk's first sample modulo M.
        position: How many samples of its segment came before each sample of the chunk, where a row holds several
            segments, each beginning at a multiple of M in its row. Then no tap reaches across a border. A segment
            that begins elsewhere (padding) gives zeros, or its own samples alone, up to the next multiple of M.

    Shape:
        seen: (batch, history + time, channels). taps: (numtaps,) or (numtaps, channels or 1). position: (batch, time).
        Result: (batch, ceil((phase + time) L / M) - ceil(phase L / M), channels), in the dtype of ``seen``; half
        precision is accumulated in float32.

    Raises:
        ValueError: If a shape, a rate or ``history`` is none of these.

    Example:
        >>> import torch
        >>> x = torch.arange(6.0).reshape(1, 6, 1)
        >>> resample(x, torch.tensor([0.5, 0.5]), up=1, down=2).flatten()
        tensor([0.0000, 1.5000, 3.5000])
        >>> resample(x[:, :3], torch.ones(2), up=2, down=1).flatten()
        tensor([0., 0., 1., 1., 2., 2.])

    References:
        P. P. Vaidyanathan, Multirate Systems and Filter Banks, 1993, section 4.1.1 (decimators and expanders),
        page 100.
    """
    taps = _checked_taps(seen, taps)
    memory, up, down, taps = _reduced(taps, up, down)
    return filter_between_rates(seen, taps, up, down, memory, Chunk(history, phase, position))


def _checked_taps(seen: Tensor, taps: Tensor) -> Tensor:
    if seen.ndim != 3:
        raise ValueError(f"seen must be of shape (batch, time, channels), got {describe(seen)}")
    wide = taps.unsqueeze(1) if taps.ndim == 1 else taps
    if wide.ndim != 2 or wide.shape[0] == 0 or wide.shape[1] not in (1, seen.shape[2]):
        raise ValueError(
            f"taps must be of shape (numtaps,) or (numtaps, {seen.shape[2]} or 1) with numtaps >= 1, "
            f"got {tuple(taps.shape)}"
        )
    return wide


def _reduced(taps: Tensor, up: int, down: int) -> tuple[int, int, int, Tensor]:
    """The memory K - 1, and L, M and the taps without their common factor: it only meets zeros in between."""
    if up < 1 or down < 1:
        raise ValueError(f"up and down must be integers >= 1, got up={up}, down={down}")
    common = math.gcd(up, down)
    return -(-taps.shape[0] // up) - 1, up // common, down // common, taps[::common]
