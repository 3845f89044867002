"""Reshape M neighbouring samples into channels (1 / M of the rate, M times the width), and back."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from dsptorch.functional.filtering import latest, with_history
from dsptorch.functional.timeline import Timeline

__all__ = ["from_blocks", "to_blocks"]


def to_blocks(x: Tensor, size: int, memory: Tensor | None, timeline: Timeline) -> tuple[Tensor, Tensor]:
    """Concatenate the last M samples along the channels at every M-th sample, M = `size`.

        y[n] = concat(x[M n - M + 1], ..., x[M n])

    A block stands at the time of its last sample, so it adds no delay. Samples before the signal begins are zero.

    Args:
        x: The next chunk of a signal.
        size: M, at least 1.
        memory: The memory returned by the previous call, or None at rest.
        timeline: The times of the samples.

    Returns:
        The blocks that are due, and the memory for the next call.

    Shape:
        x: (batch, time, channels). Result: (batch, ceil((phase + time) / M) - ceil(phase / M), M * channels).
    """
    segments, time, kept = timeline.segments, x.shape[1], size - 1
    seen = with_history(x, memory, kept)
    first = -timeline.phase % size
    blocks = _due(timeline.phase, time, size)
    # Not a slice: where a slice cuts nothing, its layout differs, and the compiler makes another graph.
    cut = F.pad(seen, (0, 0, -first, first + blocks * size - seen.shape[1]))
    y = rearrange(cut, "b (n m) c -> b n m c", m=size)
    if segments is not None:
        position = segments.position[:, first::size].unsqueeze(-1)
        ages = torch.arange(kept, -1, -1, device=x.device)
        y = torch.where((ages <= position).unsqueeze(-1), y, torch.zeros((), dtype=y.dtype, device=y.device))
    return rearrange(y, "b n m c -> b n (m c)"), latest(seen, kept, segments)


def from_blocks(y: Tensor, size: int) -> Tensor:
    """Split each block into M samples, one after another: x[M n + i] is part i of y[n].

    The signal is M - 1 samples late.

    Shape:
        (batch, blocks, M * channels) -> (batch, blocks * M, channels).
    """
    return rearrange(y, "b n (m c) -> b (n m) c", m=size)


def _due(phase: int, time: int, size: int) -> int:
    """The number of blocks that are due with a chunk."""
    return (phase + time + size - 1) // size - (phase + size - 1) // size
