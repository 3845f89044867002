"""Running a periodic filter on a signal that comes in chunks."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dsptorch.functional.hold_mix import runs_at_any_phase
from dsptorch.functional.nodes import Node, evaluate


class FIRState(NamedTuple):
    """What a periodic filter remembers between chunks.

    Attributes:
        history: The last inputs, oldest first: (batch, memory, channels).
        position: The absolute time of the next sample of each row: int64, (batch,).
    """

    history: Tensor
    position: Tensor


def step(node: Node, x: Tensor, state: FIRState | None) -> tuple[Tensor, FIRState]:
    """Filter the next chunk of each row, given what the row remembers; None is at rest, at position 0."""
    batch, time, _ = x.shape
    memory = node.pattern.memory
    if state is None:
        position = torch.full((batch,), time, dtype=torch.int64, device=x.device)
        return evaluate(node, x), FIRState(latest(x, memory), position)
    check_history(state.history, x, memory)
    seen = torch.cat([state.history, x], 1)
    y = _evaluate_from(node, seen, state.position - memory)[:, memory:]
    return y, FIRState(latest(seen, memory), state.position + time)


def latest(x: Tensor, memory: int) -> Tensor:
    """The last `memory` samples, after zeros where there are fewer, in memory of their own."""
    kept = x[:, -memory:] if memory else x[:, :0]
    return F.pad(kept, (0, 0, memory - kept.shape[1], 0)).clone()


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
