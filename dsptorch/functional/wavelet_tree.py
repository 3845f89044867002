"""Trees of two-band banks, in chunks: the wavelet transform and wavelet packets, in frames of 2^J samples.

Each level halves the rate of the previous one: v[n] = sum_m h[m] x[2n - m]. With filters of N taps, a band of level j
comes back (2^j - 1) (N - 1) samples late, so the synthesis delays the details of the first levels to align with the
last one.

Arguments of all functions: `bank` is the low-pass and the high-pass, (2, taps); `level` is the number J of levels;
`memory` is the memory returned by the previous call (None at rest); `timeline` gives the times of the samples of the
chunk. Each function returns a signal and the memory for the next call.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from dsptorch.functional.blocks import from_blocks, to_blocks
from dsptorch.functional.filtering import latest, with_history
from dsptorch.functional.frames import analysis, synthesis
from dsptorch.functional.kernel import earlier
from dsptorch.functional.timeline import Segments, Timeline

__all__ = ["packet_analysis", "packet_synthesis", "wavelet_analysis", "wavelet_synthesis"]

_HALF, _TWICE = Fraction(1, 2), Fraction(2)
_Result = tuple[Tensor, tuple[Any, ...]]


def wavelet_analysis(
    x: Tensor, bank: Tensor, level: int, memory: Sequence[Any] | None, timeline: Timeline
) -> _Result:
    """Split a signal into the bands of its wavelet transform.

    A frame is concat(cA_J, cD_J, 2 samples of cD_J-1, ..., 2^(J-1) samples of cD_1), the latest ones at its time.

    Shape:
        (batch, time, channels) -> (batch, frames, 2^J * channels).
    """
    memories = memory or ((None, None),) * level
    details, after = [], []
    for j, (seen, _) in enumerate(memories, 1):
        v, kept = _split(x, bank, seen, timeline)
        timeline = timeline.resampled(_HALF)
        x, detail = v.chunk(2, -1)
        details.append((detail, 2 ** (level - j), timeline))
        after.append(kept)
    blocks = [
        to_blocks(*detail[:2], late, detail[2]) for detail, (_, late) in zip(details, memories, strict=True)
    ]
    waiting = [kept for _, kept in blocks]
    return torch.cat([x, *(block for block, _ in reversed(blocks))], -1), tuple(
        zip(after, waiting, strict=True)
    )


def wavelet_synthesis(
    y: Tensor, bank: Tensor, level: int, memory: Sequence[Any] | None, timeline: Timeline
) -> _Result:
    """Reconstruct a signal from the frames of `wavelet_analysis`, (2^J - 1) (N - 1) samples late.

    Shape:
        (batch, frames, 2^J * channels) -> (batch, frames * 2^J, channels).
    """
    memories, after = memory or ((None, None),) * level, []
    channels = y.shape[2] // 2**level
    x, *details = y.split([channels, *(channels * 2**j for j in range(level))], -1)
    for j, (blocks, (seen, waiting)) in enumerate(zip(details, memories, strict=True)):
        # In blocks of M = 2^j, the detail is already M - 1 late; it is delayed to (M - 1) (N - 1).
        late = (2**j - 1) * (bank.shape[1] - 2)
        detail, still_waiting = _delayed(from_blocks(blocks, 2**j), late, waiting, timeline.segments)
        x, kept = _join(torch.cat([x, detail], -1), bank, seen, timeline.segments)
        timeline = timeline.resampled(_TWICE)
        after.append((kept, still_waiting))
    return x, tuple(after)


def packet_analysis(
    x: Tensor, bank: Tensor, level: int, memory: Sequence[Any] | None, timeline: Timeline
) -> _Result:
    """Split a signal into the 2^J bands of its wavelet packets, in natural order: aa, ad, da, dd.

    Shape:
        (batch, time, channels) -> (batch, frames, 2^J * channels).
    """
    after = []
    for j, seen in enumerate(memory or (None,) * level):
        x, kept = _split(x, bank, seen, timeline)
        x = rearrange(x, "b n (new old c) -> b n (old new c)", new=2, old=2**j)
        timeline = timeline.resampled(_HALF)
        after.append(kept)
    return x, tuple(after)


def packet_synthesis(
    y: Tensor, bank: Tensor, level: int, memory: Sequence[Any] | None, timeline: Timeline
) -> _Result:
    """Reconstruct a signal from the frames of `packet_analysis`, (2^J - 1) (N - 1) samples late.

    Shape:
        (batch, frames, 2^J * channels) -> (batch, frames * 2^J, channels).
    """
    after = []
    for j, seen in zip(reversed(range(level)), memory or (None,) * level, strict=True):
        y = rearrange(y, "b n (old new c) -> b n (new old c)", new=2, old=2**j)
        y, kept = _join(y, bank, seen, timeline.segments)
        timeline = timeline.resampled(_TWICE)
        after.append(kept)
    return y, tuple(after)


def _split(x: Tensor, bank: Tensor, memory: Tensor | None, timeline: Timeline) -> tuple[Tensor, Tensor]:
    """One level of analysis: both bands of all channels, at half the rate."""
    kept, segments = bank.shape[1] - 1, timeline.segments
    seen = with_history(x, memory, kept)
    position = None if segments is None else segments.position
    v = analysis(seen, bank, 2, history=kept, phase=timeline.phase, position=position)
    return v, latest(seen, kept, segments)


def _join(v: Tensor, bank: Tensor, memory: Tensor | None, segments: Segments | None) -> tuple[Tensor, Tensor]:
    """One level of synthesis: the synthesis filters are the analysis filters, reversed."""
    kept = bank.shape[1] // 2 - 1
    seen = with_history(v, memory, kept)
    position = None if segments is None else segments.position
    return synthesis(seen, bank.flip(1), 2, history=kept, position=position), latest(seen, kept, segments)


def _delayed(
    x: Tensor, samples: int, memory: Tensor | None, segments: Segments | None
) -> tuple[Tensor, Tensor]:
    seen = with_history(x, memory, samples)
    late = seen[:, : x.shape[1]] if segments is None else earlier(seen, samples, segments)
    return late, latest(seen, samples, segments)
