"""Run a plan part by part, with true decimation below a hold, where folding costs more."""

from collections.abc import Sequence
from functools import singledispatch

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor

from dsptorch.functional.dynamo import first_samples, in_blocks
from dsptorch.functional.fold import Folding, Weight, gain
from dsptorch.functional.fold_at import fold_at
from dsptorch.functional.kernel import lptv_filter
from dsptorch.functional.plan import (
    DecimateHold,
    Dilated,
    Literal,
    Plan,
    Product,
    Scaled,
    Shift,
    Sum,
    WeightedHold,
)
from dsptorch.functional.resample import resample

__all__ = ["cascade"]


def cascade(plan: Plan, weights: Sequence[Weight], x: Tensor, *, choose: bool = True) -> Tensor:
    """Apply the parts of a plan one by one to a whole signal, which is zero outside its ends.

    Args:
        plan: The structure of the filter.
        weights: One weight for each slot.
        x: The signal, sample 0 at phase 0.
        choose: True folds a part where folding is estimated to be faster; False runs every part by itself.

    Shape:
        (batch, time, channels) -> the same shape and dtype.
    """
    signal = x.to(torch.promote_types(x.dtype, torch.float32))
    # Between stages that look ahead, the samples before the start and after the end are not zero.
    period = plan.support.period
    before = (plan.margin + period - 1) // period * period
    if plan.margin:
        signal = F.pad(signal, (0, 0, before, plan.margin))
    y = _parts(plan, signal, _Run(weights, signal, choose))
    return y[:, before : before + x.shape[1]].to(x.dtype).contiguous()


class _Run:
    """The outputs of the parts already run, so that a shared part runs once."""

    def __init__(self, weights: Sequence[Weight], x: Tensor, choose: bool) -> None:
        self.weights, self.choose = weights, choose
        self.folding = Folding(weights, x)
        self._outputs: dict[tuple[Plan, int], tuple[Tensor, Tensor]] = {}

    def __call__(self, plan: Plan, x: Tensor) -> Tensor:
        """Apply a part to a signal, folded or part by part."""
        key = plan, id(x)
        if key not in self._outputs:
            folds = plan.folds and self.choose
            y = self.folded(plan, x) if folds else _parts(plan, x, self)
            self._outputs[key] = x, y  # keep x alive, so that its id stays unique
        return self._outputs[key][1]

    def folded(self, plan: Plan, x: Tensor) -> Tensor:
        return lptv_filter(x, self.folding.taps(plan).weight, plan.support.lags)


@singledispatch
def _parts(plan: Plan, x: Tensor, run: _Run) -> Tensor:
    raise TypeError(f"expected a part of a plan, got {type(plan).__name__}")


@_parts.register
def _(plan: Literal, x: Tensor, run: _Run) -> Tensor:
    return run.folded(plan, x)


@_parts.register
def _(plan: Shift, x: Tensor, run: _Run) -> Tensor:
    late, early = max(0, plan.delay), max(0, -plan.delay)
    return F.pad(x, (0, 0, late, early))[:, early : early + x.shape[1]] if plan.delay else x


@_parts.register
def _(plan: Scaled, x: Tensor, run: _Run) -> Tensor:
    return run(plan.inner, x) * gain(plan, run.weights)


@_parts.register
def _(plan: Sum, x: Tensor, run: _Run) -> Tensor:
    return run(plan.first, x) + run(plan.second, x)


@_parts.register
def _(plan: Product, x: Tensor, run: _Run) -> Tensor:
    for stage in reversed(plan.stages if run.choose else plan.factors):
        x = run(stage, x)
    return x


@_parts.register
def _(plan: DecimateHold, x: Tensor, run: _Run) -> Tensor:
    kept = _decimated(plan, in_blocks(x, plan.factor), run)
    held = repeat(run(plan.inner, kept), "b n c -> b (n m) c", m=plan.factor)
    return first_samples(held, x.shape[1])


def _decimated(plan: DecimateHold, x: Tensor, run: _Run) -> Tensor:
    """The prefilter's output at every `factor`-th sample; only these are computed if its phase there is constant."""
    if not plan.strided:
        return run(plan.prefilter, x)[:, :: plan.factor]
    weight, ahead = run.folding.taps(plan.prefilter).weight[0], plan.prefilter.support.lookahead
    return resample(F.pad(x, (0, 0, 0, ahead)), weight, 1, plan.factor, history=ahead)


@_parts.register
def _(plan: Dilated, x: Tensor, run: _Run) -> Tensor:
    blocks = in_blocks(x, plan.factor)
    streams = torch.cat([blocks[:, phase :: plan.factor] for phase in range(plan.factor)])  # (m b) n c
    y = rearrange(run(plan.inner, streams), "(m b) n c -> b (n m) c", m=plan.factor)
    return first_samples(y, x.shape[1])


@_parts.register
def _(plan: WeightedHold, x: Tensor, run: _Run) -> Tensor:
    lags, time = plan.support.lags, x.shape[1]
    # A signal shorter than the period needs only its first phases.
    phases = time if torch.compiler.is_compiling() else min(plan.support.period, max(time, 1))
    taps = fold_at(plan, run.weights, torch.arange(phases, device=x.device), x)
    return lptv_filter(x, taps, lags)
