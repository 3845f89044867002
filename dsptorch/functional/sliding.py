"""Overlapping frames of a signal, for what is not a product with a matrix of filters."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dsptorch.functional.timeline import Timeline

__all__ = ["sliding_frames"]


def sliding_frames(seen: Tensor, size: int, stride: int, timeline: Timeline) -> Tensor:
    """Cut a signal into frames that end at every M-th sample, M = `stride`.

        y[n, i] = x[M n - (size - 1) + i],    i = 0 ... size - 1

    What comes before the beginning of a signal is zero. From the start of a signal of `time` samples there are
    ceil(time / M) frames, in chunks and in one go.

    Args:
        seen: The chunk, behind the size - 1 samples before it.
        size: The length of a frame, at least 1.
        stride: Samples from one frame to the next, M, at least 1.
        timeline: When the samples of the chunk are.

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
    parts = -(-size // stride)  # blocks of `stride` samples that meet in a frame
    # Not a slice: it has another layout where nothing is cut, and so another graph.
    cut = F.pad(seen, (-first, first + (count + parts - 1) * stride - seen.shape[1]))
    blocks = cut.reshape(seen.shape[0], count + parts - 1, stride)
    frames = torch.cat([blocks.narrow(1, part, count) for part in range(parts)], 2).narrow(2, 0, size)
    if timeline.segments is None:
        return frames
    position = timeline.segments.position[:, first::stride].unsqueeze(-1)
    ages = torch.arange(size - 1, -1, -1, device=seen.device)
    return torch.where(ages <= position, frames, torch.zeros((), dtype=frames.dtype, device=frames.device))
