"""Running a periodic filter on signals that come in chunks."""

from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from dsptorch.functional.hold_mix import runs_at_any_phase
from dsptorch.functional.nodes import Fir, Node, Run, evaluate
from dsptorch.functional.segmented import segmented_filter
from dsptorch.functional.segments import Segments


class FIRState(NamedTuple):
    """What a periodic filter remembers between chunks.

    Attributes:
        history: The last inputs, oldest first: (batch, memory, channels).
        position: The absolute time of the next sample of each row: int64, (batch,).
        segment: The segment id of the last sample of each row, 0 if there were no ids: int64, (batch,).
    """

    history: Tensor
    position: Tensor
    segment: Tensor


def step(
    node: Node, x: Tensor, state: FIRState | None, segments: Segments | None = None
) -> tuple[Tensor, FIRState]:
    """Filter the next chunk of each row, given what the row remembers; None is at rest, at position 0.

    With `segments` each signal in a row is filtered as if it were alone.
    """
    memory = node.pattern.memory
    if state is not None:
        check_history(state.history, x, memory)
    if segments is not None:
        return _step_segments(node, x, state, segments)
    place = next_place(x, state)
    if state is None:
        return evaluate(node, x), FIRState(latest(x, memory), *place)
    seen = torch.cat([state.history, x], 1)
    if x.shape[1] == 1 and isinstance(node, Fir):
        y = _one_sample(node, seen, state.position)
    else:
        y = _evaluate_from(node, seen, state.position - memory)[:, memory:].contiguous()
    return y, FIRState(latest(seen, memory), *place)


class _Placed(Protocol):
    """A state that knows where its rows stand."""

    @property
    def position(self) -> Tensor: ...
    @property
    def segment(self) -> Tensor: ...


def next_place(x: Tensor, state: _Placed | None, segments: Segments | None = None) -> tuple[Tensor, Tensor]:
    """The position and the segment that rows stand at after a chunk: the last two fields of every state."""
    if segments is not None:
        return segments.next_position, segments.last
    if state is not None:
        return state.position + x.shape[1], state.segment
    batch, time = x.shape[:2]
    position = torch.full((batch,), time, dtype=torch.int64, device=x.device)
    return position, torch.zeros(batch, dtype=torch.int64, device=x.device)


def with_history(x: Tensor, history: Tensor | None, memory: int) -> Tensor:
    """A chunk behind the samples before it; behind silence, at rest."""
    return F.pad(x, (0, 0, memory, 0)) if history is None else torch.cat([history, x], 1)


def latest_of_run(seen: Tensor, memory: int, position: Tensor) -> Tensor:
    """The last `memory` samples, silence where they are no part of the run that goes on from `position`."""
    kept = latest(seen, memory)
    age = torch.arange(memory, 0, -1, device=seen.device)
    known = (age <= position.unsqueeze(1)).unsqueeze(-1)
    return torch.where(known, kept, torch.zeros((), dtype=kept.dtype, device=kept.device))


def _one_sample(node: Fir, seen: Tensor, position: Tensor, known: Tensor | None = None) -> Tensor:
    """The output for the last sample of each row, at its position, in a few operations whatever the taps."""
    weight, memory = node.taps.weight, seen.shape[1] - 1
    if not node.pattern.lags:
        return torch.zeros_like(seen[:, memory:])
    met = torch.stack([seen[:, memory - lag] for lag in node.pattern.lags], 1)
    if known is not None:
        met = torch.where(known.unsqueeze(-1), met, torch.zeros((), dtype=met.dtype, device=met.device))
    dtype = torch.promote_types(torch.promote_types(weight.dtype, seen.dtype), torch.float32)
    taps = weight[position.remainder(weight.shape[0])] if weight.shape[0] > 1 else weight
    return (taps.to(dtype) * met.to(dtype)).sum(1, keepdim=True).to(seen.dtype)


def _step_segments(
    node: Node, x: Tensor, state: FIRState | None, segments: Segments
) -> tuple[Tensor, FIRState]:
    memory = node.pattern.memory
    dtype = torch.promote_types(x.dtype, torch.float32)
    taps = Run(x.new_empty((), dtype=dtype)).taps(node)
    seen = with_history(x, None if state is None else state.history, memory)
    if x.shape[1] == 1 and taps.pattern.lags and not taps.pattern.lookahead:
        # Of a run's samples before its first, none is known.
        known = torch.stack([segments.position[:, 0] >= lag for lag in taps.pattern.lags], 1)
        y = _one_sample(Fir(taps), seen, segments.position[:, 0], known)
    else:
        y = segmented_filter(seen, taps.weight, taps.pattern.lags, segments)
    position, segment = next_place(x, state, segments)
    return y, FIRState(latest_of_run(seen, memory, position), position, segment)


def latest(x: Tensor, memory: int) -> Tensor:
    """The last `memory` samples, after zeros where there are fewer, in memory of their own."""
    return F.pad(x, (0, 0, memory - x.shape[1], 0)).clone()  # where it is negative, the first samples are cut


def check_history(history: Tensor, x: Tensor, memory: int) -> None:
    """Raise unless a state's history belongs before this chunk."""
    expected = (x.shape[0], memory, x.shape[2])
    if history.shape != expected:
        raise ValueError(
            f"state must have history of shape {expected}, got {tuple(history.shape)}; pass the state that this "
            "very layer returned for these rows, or None to start anew"
        )


def _evaluate_from(node: Node, x: Tensor, start: Tensor) -> Tensor:
    """Filter rows whose sample 0 stands at absolute time `start`, each row at its own.

    Each row is moved right by its phase, so that all rows start at phase 0 of one common evaluation.
    """
    period, time = node.pattern.period, x.shape[1]
    if period == 1:
        return evaluate(node, x)
    if runs_at_any_phase(node):
        return evaluate(node, x, start=start)
    rows = torch.arange(x.shape[0], device=x.device).unsqueeze(1)
    phase = start.remainder(period).unsqueeze(1)
    padded = F.pad(x, (0, 0, period - 1, period - 1))
    aligned = padded[rows, torch.arange(time + period - 1, device=x.device) - phase + (period - 1)]
    return evaluate(node, aligned)[rows, torch.arange(time, device=x.device) + phase]
