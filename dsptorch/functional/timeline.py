"""The times of the samples of a chunk: the one clock of a stream.

The outermost layer of a call makes one `Timeline` and passes it to its parts. Its rate changes together with the
signal's.
"""

from fractions import Fraction
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from dsptorch.functional.validate import describe

_Time = TypeVar("_Time", int, Tensor)

__all__ = ["Segments", "Timeline", "check_segment_ids", "find_segments", "outputs_before"]


class Segments(NamedTuple):
    """The position of each sample of a chunk in its segment, a run of equal segment ids.

    Attributes:
        position: Number of earlier samples of the run, including earlier chunks: int64, (batch, time).
        following: Number of later samples of the run within this chunk: int64, (batch, time).
        padding: Whether the sample is padding: bool, (batch, time).
        next_position: The position of the next sample of each row if its run continues: int64, (batch,).
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


class Timeline(NamedTuple):
    """The times of the samples of a chunk.

    Attributes:
        start: The position of each row's first sample in its signal: int64, (batch,). None means that every row starts
            here, and all earlier samples are zero.
        phase: The position of the first sample modulo `Layer.grid`, the same for all rows, so that rate changers know
            which samples to keep without reading a tensor.
        segments: The segments of rows that hold several signals; None if each row is one signal.
    """

    start: Tensor | None = None
    phase: int = 0
    segments: Segments | None = None

    def positions(self, x: Tensor) -> Tensor:
        """The position of each sample of the chunk x: (batch, time), or (1, time) if the rows agree."""
        if self.segments is not None:
            return self.segments.position
        times = torch.arange(x.shape[1], device=x.device).unsqueeze(0)
        return times if self.start is None else self.start.unsqueeze(1) + times

    def next(self, x: Tensor) -> Tensor:
        """The position of the sample after the chunk x, in each row: int64, (batch,)."""
        if self.segments is not None:
            return self.segments.next_position
        if self.start is not None:
            return self.start + x.shape[1]
        return torch.full(x.shape[:1], x.shape[1], dtype=torch.int64, device=x.device)

    def resampled(self, rate: Fraction) -> "Timeline":
        """The timeline of the output of a layer with the given rate."""
        if rate == 1:
            return self
        start = None if self.start is None else outputs_before(self.start, rate)
        segments = None if self.segments is None else self._resampled(self.segments, rate)
        return Timeline(start, outputs_before(self.phase, rate), segments)

    def _resampled(self, segments: Segments, rate: Fraction) -> Segments:
        first = outputs_before(self.phase, rate)
        end = outputs_before(self.phase + segments.position.shape[1], rate)
        outputs = torch.arange(first, end, device=segments.position.device)
        inputs = outputs * rate.denominator // rate.numerator  # the input at the time of each output
        repeat = outputs - outputs_before(inputs, rate)  # the index of the output among those of its input
        at = inputs - self.phase
        position = outputs_before(segments.position[:, at], rate) + repeat
        length = outputs_before(segments.position[:, at] + segments.following[:, at] + 1, rate)
        return Segments(
            position,
            length - 1 - position,
            segments.padding[:, at],
            outputs_before(segments.next_position, rate),
            segments.last,
        )


def outputs_before(time: _Time, rate: Fraction) -> _Time:
    """The number of outputs of a layer after `time` inputs: ceil(time * rate)."""
    return (time * rate.numerator + rate.denominator - 1) // rate.denominator


def find_segments(
    segment_ids: Tensor, position: Tensor | None = None, last: Tensor | None = None
) -> Segments:
    """Find the runs of equal ids in each row of a chunk.

    A run begins wherever the id changes. The first run continues the last run of the previous chunk if the ids agree.

    Args:
        segment_ids: The id of each sample, any integers; negative ones are padding.
        position: The position of each row's next sample; None for 0.
        last: The id of the last sample of the previous chunk; None if there was none.

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
    segment_ids = segment_ids.long()
    batch, time = segment_ids.shape
    position = segment_ids.new_zeros(batch) if position is None else position
    if last is None:
        last = segment_ids.new_zeros(batch)  # any id: a run begins at position 0
    ids = torch.cat([last.unsqueeze(1), segment_ids], 1)
    begins = ids[:, 1:] != ids[:, :-1]
    times = torch.arange(time, device=segment_ids.device).expand(batch, -1)
    # The first run began `position` samples before the chunk.
    start = torch.where(begins, times, -position.unsqueeze(1))
    # The last run is taken to end after the chunk.
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
    """Check that segment ids fit a signal, and return them as int64."""
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
