"""The state of a layer between the chunks of a signal."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from dsptorch.functional.timeline import Timeline, check_segment_ids, find_segments

__all__ = ["State", "next_state", "timeline_of"]


class State(NamedTuple):
    """The state of a layer between the chunks of a signal: an immutable value.

    Attributes:
        position: The position of the next sample of each row: int64, (batch,).
        segment: The segment id of the last sample of each row, 0 if no ids were given: int64, (batch,).
        memory: What the layer needs of its past input: a tensor, or a nested tuple of tensors.
        phase: For layers that change the rate inside, an empty tensor of shape (batch, r, 0), where r is the position
            modulo the layer's grid, the same for all rows. As a shape, it is known without reading from the device. For
            other layers, ().
    """

    position: Tensor
    segment: Tensor
    memory: Any = ()
    phase: Any = ()


def timeline_of(x: Tensor, state: State | None, segment_ids: Tensor | None, grid: int = 1) -> Timeline:
    """Return the times of the samples of the next chunk.

    Args:
        x: The chunk, (batch, time, channels).
        state: The state returned by the previous call, or None at rest.
        segment_ids: For each sample, the id of its signal within the row, (batch, time); or None.
        grid: Number of samples after which all rate changers of the layer are at the same phase again.

    Raises:
        TypeError, ValueError: If the ids are not one integer per sample, or a segment does not begin on the grid.
    """
    start = None if state is None else state.position
    phase = 0 if state is None or grid == 1 else _phase(state, grid)
    if segment_ids is None:
        return Timeline(start, phase)
    ids = check_segment_ids(segment_ids, x)
    if _is_one_signal(ids, state):
        return Timeline(start, phase)
    segments = find_segments(ids, start, None if state is None else state.segment)
    timeline = Timeline(start, phase, segments)
    if grid > 1:
        _check_grid(timeline, grid)
    return timeline


def next_state(x: Tensor, state: State | None, timeline: Timeline, memory: Any, grid: int = 1) -> State:
    """Return the state after the chunk x."""
    position = timeline.next(x)
    if timeline.segments is not None:
        segment = timeline.segments.last
    else:
        segment = torch.zeros_like(position) if state is None else state.segment
    phase = () if grid == 1 else position.new_empty(len(x), (timeline.phase + x.shape[1]) % grid, 0)
    return State(position, segment, memory, phase)


def _is_one_signal(ids: Tensor, state: State | None) -> bool:
    """Whether all ids are 0, in the state too, so that the result is the same without ids.

    Only checked on the CPU, because reading a value from another device waits for the device.
    """
    if ids.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    return not ids.any() and (state is None or not state.segment.any())


def _phase(state: State, grid: int) -> int:
    if not isinstance(state.phase, Tensor):
        raise ValueError(
            f"this layer changes the rate every {grid} samples, and the state has no phase; pass the state that this "
            "very layer returned, or None to start anew"
        )
    phase = state.phase.shape[1]
    if phase >= grid:
        raise ValueError(
            f"this layer changes the rate every {grid} samples, and the state is {phase} samples after such a place; "
            "pass the state that this very layer returned, or None to start anew"
        )
    position = state.position
    if torch.compiler.is_compiling() or position.device.type != "cpu":
        return phase
    # Padding may begin anywhere.
    off = ((position % grid != phase) & (state.segment >= 0)).nonzero().flatten().tolist()
    if off and len({p % grid for p in position.tolist()}) == 1:
        raise ValueError(
            f"this layer changes the rate every {grid} samples, and the state, at position {int(position[off[0]])}, is "
            f"that of a layer that is {phase} samples into a block; pass the state that this very layer returned, or "
            "None to start anew"
        )
    if off:
        raise ValueError(
            f"rows of one batch must agree in position modulo {grid}, at which this layer changes the rate, got "
            f"positions {position.tolist()}; step them apart, or bring each to a multiple of {grid} first"
        )
    return phase


def _check_grid(timeline: Timeline, grid: int) -> None:
    """Check that every segment begins at a multiple of the grid; padding may begin anywhere."""
    segments = timeline.segments
    if segments is None or torch.compiler.is_compiling():
        return
    times = timeline.phase + torch.arange(segments.position.shape[1], device=segments.position.device)
    off = (segments.position % grid != times % grid) & ~segments.padding
    if off.device.type != "cpu":
        torch._assert_async(~off.any(), f"each segment must begin at a multiple of {grid} in its row")
        return
    if off.any():
        row, time = off.nonzero()[0].tolist()
        late = (timeline.phase + time - int(segments.position[row, time])) % grid
        raise ValueError(
            f"each segment must begin at a multiple of {grid} samples in its row, at which this layer changes the "
            f"rate, got one in row {row} that begins {late} after one; put padding before it, to a multiple of {grid}"
        )
