"""Overlapping frames of a signal, for operations that are not a product with a matrix of filters."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dsptorch.functional.timeline import Timeline

__all__ = ["sliding_frames"]


def sliding_frames(seen: Tensor, size: int, stride: int, timeline: Timeline) -> Tensor:
    """Cut a signal into frames that end at every M-th sample, M = `stride`.

        y[n, i] = x[M n - (size - 1) + i],    i = 0 ... size - 1

    Samples before the signal begins are zero. A signal of `time` samples has ceil(time / M) frames, whole or in chunks.

    Args:
        seen: The size - 1 samples before the chunk, followed by the chunk.
        size: The length of a frame, at least 1.
        stride: Samples from one frame to the next, M, at least 1.
        timeline: The times of the samples of the chunk.

    Shape:
        seen: (batch, size - 1 + time). Result: (batch, ceil((phase + time) / M) - ceil(phase / M), size).

    Example:
        >>> sliding_frames(torch.tensor([[0.0, 0.0, 1.0, 2.0, 3.0]]), size=3, stride=2, timeline=Timeline())
        tensor([[[0., 0., 1.],
                 [1., 2., 3.]]])
    """
    time, first = seen.shape[1] - (size - 1), -timeline.phase % stride
    count = (time - first + stride - 1) // stride
    if not torch.compiler.is_compiling() and count == 0:
        return seen[:, :0].unsqueeze(-1).repeat(1, 1, size)
    parts = -(-size // stride)  # blocks of `stride` samples in a frame
    # Not a slice: where a slice cuts nothing, its layout differs, and the compiler makes another graph.
    cut = F.pad(seen, (-first, first + (count + parts - 1) * stride - seen.shape[1]))
    blocks = cut.reshape(seen.shape[0], count + parts - 1, stride)
    frames = torch.cat([blocks.narrow(1, part, count) for part in range(parts)], 2).narrow(2, 0, size)
    if timeline.segments is None:
        return frames
    position = timeline.segments.position[:, first::stride].unsqueeze(-1)
    ages = torch.arange(size - 1, -1, -1, device=seen.device)
    return torch.where(ages <= position, frames, torch.zeros((), dtype=frames.dtype, device=frames.device))
