"""Apply a plan and its weights to a signal, or to the next chunk of a signal."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from dsptorch.functional.cascade import cascade
from dsptorch.functional.dynamo import known_equal
from dsptorch.functional.fold import Weight, fold
from dsptorch.functional.fold_at import FEW_PHASES, fold_at
from dsptorch.functional.kernel import lptv_filter
from dsptorch.functional.plan import Plan
from dsptorch.functional.timeline import Segments, Timeline

__all__ = ["filter_chunk", "filter_signal", "latest", "with_history"]


def filter_signal(plan: Plan, weights: Sequence[Weight], x: Tensor, folds: bool | None = None) -> Tensor:
    """Filter a whole signal, which is zero outside its ends.

    Args:
        plan: The structure of the filter.
        weights: One weight for each slot.
        x: The signal, sample 0 at phase 0.
        folds: True runs folded, False as a cascade. None takes the one that is estimated to be faster.

    Shape:
        (batch, time, channels) -> the same shape and dtype.
    """
    if plan.folds if folds is None else folds:
        return lptv_filter(x, fold(plan, weights, x), plan.support.lags)
    return cascade(plan, weights, x, choose=folds is None)


def filter_chunk(
    plan: Plan,
    weights: Sequence[Weight],
    x: Tensor,
    history: Tensor | None,
    timeline: Timeline,
    folded: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Filter the next chunk of each row, and return the new history too.

    Args:
        plan: The structure of the filter.
        weights: One weight for each slot.
        x: The chunk.
        history: The last `plan.support.memory` inputs; None for rows at rest.
        timeline: The times of the samples.
        folded: The folded weights, if known.

    Shape:
        x: (batch, time, channels) -> the same shape and dtype. history: (batch, memory, channels).
    """
    memory, segments, start = plan.support.memory, timeline.segments, timeline.start
    if history is None and segments is None and start is None:
        return filter_signal(plan, weights, x), latest(x, memory)
    seen = with_history(x, history, memory)
    start = start if segments is None else None  # phases count from the start of a segment
    if start is not None and folded is None and _runs_unfolded(plan, x.shape[1]):
        y = _cascade_from(plan, weights, seen, start - memory)[:, memory:].contiguous()
    else:
        taps = _taps_from(plan, weights, x, start, folded)
        y = lptv_filter(seen, taps, plan.support.lags, history=memory, segments=segments)
    return y, latest(seen, memory, segments)


def _taps_from(
    plan: Plan, weights: Sequence[Weight], x: Tensor, start: Tensor | None, folded: Tensor | None
) -> Tensor:
    """The taps at the phases of a chunk; one set for each row, if rows begin at different positions."""
    period = plan.support.period
    if start is None or period == 1:
        return fold(plan, weights, x) if folded is None else folded
    phases, times = _phases(period, x.shape[1]), start.unsqueeze(1)
    if not known_equal(phases, 1):
        times = times + torch.arange(phases, device=x.device)
    return fold_at(plan, weights, times, x) if folded is None else folded[times.remainder(period)]


def _runs_unfolded(plan: Plan, time: int) -> bool:
    """Whether running a chunk as a cascade costs less than folding the taps at its phases.

    To fold a tap for one sample costs about 8 multiply-adds; a cascade pads each row by up to two periods.
    """
    if plan.folds or torch.compiler.is_compiling():
        return False
    length = time + plan.support.memory + 2 * plan.support.period
    return length * plan.cost < 8 * time * len(plan.support.lags)


def _cascade_from(plan: Plan, weights: Sequence[Weight], x: Tensor, start: Tensor) -> Tensor:
    """Run a cascade on rows that begin at different positions.

    Each row is shifted right by its phase, so that all rows begin at phase 0.
    """
    period, time = plan.support.period, x.shape[1]
    rows = torch.arange(x.shape[0], device=x.device).unsqueeze(1)
    phase = start.remainder(period).unsqueeze(1)
    padded = F.pad(x, (0, 0, period - 1, period - 1))
    aligned = padded[rows, torch.arange(time + period - 1, device=x.device) - phase + (period - 1)]
    return cascade(plan, weights, aligned)[rows, torch.arange(time, device=x.device) + phase]


def with_history(x: Tensor, history: Tensor | None, memory: int) -> Tensor:
    """The chunk preceded by its last `memory` samples (zeros at rest), in the dtype of the chunk."""
    if history is None:
        return F.pad(x, (0, 0, memory, 0))
    expected = (x.shape[0], memory, x.shape[2])
    if history.shape != expected:
        raise ValueError(
            f"state must have a history of shape {expected}, got {tuple(history.shape)}; pass the state that this "
            "very layer returned for these rows, or None to start anew"
        )
    return torch.cat([history.to(x.dtype), x], 1)


def latest(x: Tensor, memory: int, segments: Segments | None = None) -> Tensor:
    """A copy of the last `memory` samples, preceded by zeros if there are fewer.

    With segments, the samples before the beginning of the current segment are zero.
    """
    if torch.compiler.is_compiling() or x.shape[1] < memory:
        # A negative pad cuts off the first samples; compiled, it does so without a copy.
        kept = F.pad(x, (0, 0, memory - x.shape[1], 0))
        kept = kept.clone() if torch.compiler.is_compiling() else kept
    else:
        kept = x[:, x.shape[1] - memory :].clone()
    if segments is None:
        return kept
    age = torch.arange(memory, 0, -1, device=x.device)
    known = (age <= segments.next_position.unsqueeze(1)).unsqueeze(-1)
    return torch.where(known, kept, torch.zeros((), dtype=kept.dtype, device=kept.device))


def _phases(period: int, time: int) -> int:
    """The number of phases that a chunk needs: its length, or the period if that is smaller."""
    if torch.compiler.is_compiling():  # a dynamic length cannot be compared
        return time if period > FEW_PHASES or known_equal(time, 1) else period
    return min(period, max(time, 1))
