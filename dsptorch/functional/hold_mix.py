"""Several holds at once, weighted: what a decimation factor is while it is learned.

The factors 1 ... 8 repeat together after 840 samples only, so folding this into the filters around it would
make 840 sets of taps. It runs by itself instead: each sample takes one input per factor, at most `max(factors)`
different ones, with weights that depend on the absolute time alone.
"""

from collections.abc import Sequence
from functools import lru_cache, reduce

import torch
from torch import Tensor

from dsptorch.functional.lptv import lptv_filter
from dsptorch.functional.nodes import _PASS, Node, Product, Run, Scaled, Sum
from dsptorch.functional.pattern import Pattern
from dsptorch.functional.taps import Taps


class HoldMix(Node):
    """y[t] = sum over i of weights[i] * x[factors[i] * floor(t / factors[i])].

    Args:
        factors: The decimation factors, each at least 1.
        weights: One for each, (len(factors),).
    """

    def __init__(self, factors: Sequence[int], weights: Tensor) -> None:
        factors = tuple(factors)
        if weights.shape != (len(factors),):
            raise ValueError(
                f"weights must be one a factor, ({len(factors)},), got shape {tuple(weights.shape)}"
            )
        pattern = hold_pattern(factors)
        super().__init__(pattern, 1, 0, _PASS + len(pattern.lags))
        self.factors, self.weights = factors, weights

    def folded(self, run: Run) -> Taps:  # noqa: D102
        times = torch.arange(self.pattern.period, device=self.weights.device)
        return Taps(self._taps_at(times).unsqueeze(-1), self.pattern)

    def cascaded(self, x: Tensor, run: Run) -> Tensor:  # noqa: D102
        lags = self.pattern.lags
        if run.start is None and not torch.compiler.is_compiling():
            # A signal that is shorter than the period needs the first of its taps alone.
            phases = min(self.pattern.period, max(x.shape[1], 1))
            taps = self._taps_at(torch.arange(phases, device=x.device))
            return lptv_filter(x, taps.unsqueeze(-1), lags)
        times = torch.arange(x.shape[1], device=x.device)
        if run.start is not None:
            times = run.start.unsqueeze(1) + times
        taps = self._taps_at(times).to(x.dtype)
        padded = torch.nn.functional.pad(x, (0, 0, lags[-1], 0))
        seen = [padded[:, lags[-1] - lag : lags[-1] - lag + x.shape[1]] for lag in lags]
        return sum((seen[i] * taps[..., i, None] for i in range(1, len(lags))), seen[0] * taps[..., 0, None])

    def _taps_at(self, times: Tensor) -> Tensor:
        """The weight of each lag at absolute times: (...) -> (..., lags)."""
        factors = torch.tensor(self.factors, device=times.device)
        lags = torch.tensor(self.pattern.lags, device=times.device)
        since = times.unsqueeze(-1).remainder(factors)  # the age of the sample that each hold shows
        # At most two weights of a hat are not 0, so that the order of this sum does not matter.
        return ((since.unsqueeze(-2) == lags.unsqueeze(-1)) * self.weights).sum(-1)


@lru_cache(maxsize=64)
def hold_pattern(factors: tuple[int, ...]) -> Pattern:
    """The taps of several holds together."""
    return reduce(Pattern.__add__, map(Pattern.hold, factors))


def runs_at_any_phase(node: Node) -> bool:
    """Whether a node can be evaluated from any absolute time on, a different one in each row (`Run.start`)."""
    if node.pattern.period == 1:
        return True
    if node.folds:
        return False
    if isinstance(node, Scaled):
        return runs_at_any_phase(node.node)
    if isinstance(node, Sum):
        return runs_at_any_phase(node.first) and runs_at_any_phase(node.second)
    if isinstance(node, Product):
        return all(map(runs_at_any_phase, node.parts))
    return isinstance(node, HoldMix)
