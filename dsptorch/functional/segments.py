"""Several signals in one row: where each begins, and where it is padding."""

from typing import NamedTuple

import torch
from torch import Tensor

from dsptorch.functional.validate import describe

__all__ = ["Segments", "check_segment_ids", "find_segments"]


class Segments(NamedTuple):
    """Where each sample of a chunk stands in its own signal, a run of equal segment ids.

    Attributes:
        position: How many samples of its run came before it, in earlier chunks too: int64, (batch, time).
        following: How many samples of its run follow in this chunk: int64, (batch, time).
        padding: Whether it is padding: bool, (batch, time).
        next_position: The position of the next sample of each row, if its run goes on: int64, (batch,).
        last: The id of the last sample of each row: int64, (batch,).

    Example:
        >>> find_segments(torch.tensor([[-1, 0, 0]])).padding
        tensor([[ True, False, False]])
    """

    position: Tensor
    following: Tensor
    padding: Tensor
    next_position: Tensor
    last: Tensor


def find_segments(
    segment_ids: Tensor, position: Tensor | None = None, last: Tensor | None = None
) -> Segments:
    """Find the runs of equal ids in each row of a chunk.

    A run begins wherever the id changes. The first run continues that of the chunk before if its id is the same.

    Args:
        segment_ids: The id of each sample, any integers; negative ones are padding.
        position: The absolute time of each row's next sample; None is 0.
        last: The id of the last sample of the chunk before; None if there was none.

    Shape:
        segment_ids: (batch, time). position, last: (batch,).

    Example:
        >>> found = find_segments(torch.tensor([[-1, 0, 0, 0, 1, 1]]))
        >>> found.position
        tensor([[0, 0, 1, 2, 0, 1]])
        >>> found.following
        tensor([[0, 2, 1, 0, 1, 0]])
        >>> later = find_segments(torch.tensor([[1, 1, 2]]), found.next_position, found.last)
        >>> later.position
        tensor([[2, 3, 0]])
    """
    batch, time = segment_ids.shape
    position = segment_ids.new_zeros(batch) if position is None else position
    last = (
        segment_ids.new_zeros(batch) if last is None else last
    )  # any id will do: at position 0 a run begins
    ids = torch.cat([last.unsqueeze(1), segment_ids], 1)
    begins = ids[:, 1:] != ids[:, :-1]
    times = torch.arange(time, device=segment_ids.device).expand(batch, -1)
    # The first run began `position` samples before the chunk.
    start = torch.where(begins, times, -position.unsqueeze(1))
    # One moment further than the chunk is where the last run ends, as far as is known.
    end = torch.where(begins, times, time).roll(-1, 1)
    end = torch.where(times == time - 1, time, end)
    since = times - torch.cummax(start, 1).values if time else times
    following = torch.cummin(end.flip(1), 1).values.flip(1) - times - 1 if time else times
    return Segments(
        since,
        following,
        segment_ids < 0,
        torch.cat([position.unsqueeze(1), since + 1], 1)[:, -1],
        ids[:, -1],
    )


def check_segment_ids(segment_ids: object, x: Tensor) -> Tensor:
    """Return segment ids as int64 if they belong to a signal, or raise."""
    if not isinstance(segment_ids, Tensor) or segment_ids.is_floating_point() or segment_ids.is_complex():
        raise TypeError(
            f"segment_ids must be a tensor of integers, one a sample, got {describe(segment_ids)}; "
            "a mask of 1 (real) and 0 (padding) becomes ids by mask.long() - 1"
        )
    if segment_ids.dtype == torch.bool:
        raise TypeError(
            "segment_ids must be integers, -1 for padding, got torch.bool; a mask that is True where samples are "
            "real becomes ids by mask.long() - 1"
        )
    if segment_ids.shape != x.shape[:2]:
        raise ValueError(
            f"segment_ids must be of shape (batch, time) = {tuple(x.shape[:2])}, got {tuple(segment_ids.shape)}"
        )
    return segment_ids.to(device=x.device, dtype=torch.int64)
