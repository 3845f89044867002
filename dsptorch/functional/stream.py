"""Running a periodic filter on a signal that comes in chunks."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

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
        y = evaluate(node, x)
        seen = F.pad(x, (0, 0, memory, 0))
        position = torch.zeros(batch, dtype=torch.int64, device=x.device)
    else:
        seen = torch.cat([state.history, x], 1)
        y = _evaluate_from(node, seen, state.position - memory)[:, memory:]
        position = state.position
    return y, FIRState(seen[:, time:], position + time)


def _evaluate_from(node: Node, x: Tensor, start: Tensor) -> Tensor:
    """Filter rows whose sample 0 stands at absolute time `start`, each row at its own.

    Each row is moved right by its phase, so that all rows start at phase 0 of one common evaluation.
    """
    period, time = node.pattern.period, x.shape[1]
    if period == 1:
        return evaluate(node, x)
    rows = torch.arange(x.shape[0], device=x.device).unsqueeze(1)
    phase = start.remainder(period).unsqueeze(1)
    padded = F.pad(x, (0, 0, period - 1, period - 1))
    aligned = padded[rows, torch.arange(time + period - 1, device=x.device) - phase + (period - 1)]
    return evaluate(node, aligned)[rows, torch.arange(time, device=x.device) + phase]
