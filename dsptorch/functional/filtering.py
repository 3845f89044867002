"""Plan and weights, applied to the next chunk of a signal."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from dsptorch.functional.cascade import cascade
from dsptorch.functional.dynamo import known_equal
from dsptorch.functional.fold import Weight, fold
from dsptorch.functional.fold_at import fold_at
from dsptorch.functional.kernel import lptv_filter
from dsptorch.functional.plan import Plan
from dsptorch.functional.timeline import Segments, Timeline

__all__ = ["filter_chunk", "filter_signal", "latest", "with_history"]

_MANY_PHASES = 16  # from here on a compiled chunk folds the phases that it meets, whatever its length


def filter_signal(plan: Plan, weights: Sequence[Weight], x: Tensor, folds: bool | None = None) -> Tensor:
    """Filter a whole signal, which is zero outside its ends.

    Args:
        plan: The structure of the filter.
        weights: One for each slot.
        x: The signal, sample 0 at phase 0.
        folds: Whether to run folded or as a cascade; None: as estimated to be faster.

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
    """Filter the next chunk of each row, and return what to remember.

    Args:
        plan: The structure of a filter.
        weights: One for each slot.
        x: The chunk.
        history: The last `plan.support.memory` inputs; None: the rows are at rest.
        timeline: When the samples are.
        folded: The folded weights, if they are known.

    Shape:
        x: (batch, time, channels) -> the same shape and dtype. history: (batch, memory, channels).
    """
    memory, lags, period = plan.support.memory, plan.support.lags, plan.support.period
    segments, start = timeline.segments, timeline.start
    if history is None and segments is None and start is None:
        return filter_signal(plan, weights, x), latest(x, memory)
    seen = with_history(x, history, memory)
    if segments is not None or start is None or period == 1:
        taps = fold(plan, weights, x) if folded is None else folded
    else:
        phases = _phases(period, x.shape[1])
        times = start.unsqueeze(1)
        if not known_equal(phases, 1):
            times = times + torch.arange(phases, device=x.device)
        taps = fold_at(plan, weights, times, x) if folded is None else folded[times.remainder(period)]
    y = lptv_filter(seen, taps, lags, history=memory, segments=segments)
    return y, latest(seen, memory, segments)


def with_history(x: Tensor, history: Tensor | None, memory: int) -> Tensor:
    """A chunk behind the `memory` samples before it; behind zeros, at rest."""
    if history is None:
        return F.pad(x, (0, 0, memory, 0))
    expected = (x.shape[0], memory, x.shape[2])
    if history.shape != expected:
        raise ValueError(
            f"state must have a history of shape {expected}, got {tuple(history.shape)}; pass the state that this "
            "very layer returned for these rows, or None to start anew"
        )
    return torch.cat([history, x], 1)


def latest(x: Tensor, memory: int, segments: Segments | None = None) -> Tensor:
    """The last `memory` samples, after zeros where there are fewer, in memory of their own.

    With segments, those before the beginning of the present one are zero.
    """
    if torch.compiler.is_compiling() or x.shape[1] < memory:
        kept = F.pad(x, (0, 0, memory - x.shape[1], 0)).clone()  # where it is negative, the first samples are cut
    else:
        kept = x[:, x.shape[1] - memory :].clone()
    if segments is None:
        return kept
    age = torch.arange(memory, 0, -1, device=x.device)
    known = (age <= segments.next_position.unsqueeze(1)).unsqueeze(-1)
    return torch.where(known, kept, torch.zeros((), dtype=kept.dtype, device=kept.device))


def _phases(period: int, time: int) -> int:
    """How many phases a chunk needs: those that it meets, if they are fewer than all."""
    if torch.compiler.is_compiling():  # which cannot compare a length that it does not know
        return time if period > _MANY_PHASES or known_equal(time, 1) else period
    return min(period, max(time, 1))
