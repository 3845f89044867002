"""Change the rate of a signal by L / M: L outputs for every M inputs, the first of each at the same time."""

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
    """Change the rate of a signal by up / down, causally; returns the outputs that are due with the chunk.

    With L = up / g, M = down / g, g = gcd(up, down)::

        y[n, c] = sum_k  h[(n M mod L) + k L, c] * x[floor(n M / L) - k, c]

    For a whole signal this equals ``scipy.signal.upfirdn(h, x, up, down)[: ceil(T * up / down)]``. Output n depends on
    no input after floor(n M / L). Decimation is L = 1, upsampling is M = 1. For ``torch.export`` of a decimation with
    dynamic time, set the minimum time to M + 1: a graph with dynamic lengths has at least two outputs.

    A single channel, and filters of many taps or phases, are computed with matrices that hold zeros for samples that an
    output does not use. If such a sample is infinite or NaN, the output is NaN.

    Args:
        seen: The history, followed by the chunk.
        taps: The filter h, at ``up`` times the rate of the input.
        up: Outputs per ``down`` inputs, at least 1.
        down: See ``up``.
        history: Number of samples of ``seen`` before the chunk; earlier samples are taken as zero. To continue a
            signal, pass its last ceil(numtaps / up) - 1 samples.
        phase: The position of the chunk's first sample modulo M.
        position: For rows that hold several segments: the number of samples of the segment before each sample of the
            chunk. Each segment must begin at a multiple of M in its row. No tap then reaches across a boundary. Up to
            the next multiple of M, a segment that begins elsewhere (padding) gives zeros, or only its own samples.

    Shape:
        seen: (batch, history + time, channels). taps: (numtaps,) or (numtaps, channels or 1). position: (batch, time).
        Result: (batch, ceil((phase + time) L / M) - ceil(phase L / M), channels), in the dtype of ``seen``; half
        precision is accumulated in float32.

    Raises:
        ValueError: If a shape, a rate or ``history`` is not as described.

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
    """Divide up and down by their common factor: returns the memory K - 1, L, M, and every g-th tap."""
    if up < 1 or down < 1:
        raise ValueError(f"up and down must be integers >= 1, got up={up}, down={down}")
    common = math.gcd(up, down)
    return -(-taps.shape[0] // up) - 1, up // common, down // common, taps[::common]
