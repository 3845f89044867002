"""The expression behind a `PeriodicFIR`: what it is made of, when to fold it, and how to run it unfolded.

A node keeps its parts. When it meets a signal, it runs either folded (all its taps as one filter, one pass
over the signal) or as a cascade of its parts (with true decimation below a hold), whichever is estimated to
cost less. Both treat the signal as zero outside its ends at every stage, so both give the same numbers.
"""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

from dsptorch.functional.lptv import first_samples, in_blocks, lptv_filter
from dsptorch.functional.pattern import Pattern
from dsptorch.functional.taps import Taps, add_taps, at_rate_taps, compose_taps, delay_taps, hold_taps

# Costs per output sample, in units of one multiply-add of a tap. A pass reads and writes the signal once
# whatever its taps; folding P phases of n taps touches P * n weights, against some 4,096 samples of a batch.
_PASS = 2.0
_WEIGHT = 1 / 256


def folded_cost(pattern: Pattern) -> float:
    """The cost of one pass with all the taps of a pattern."""
    return _PASS + len(pattern.lags) * (1 + pattern.period * _WEIGHT)


class Run:
    """One evaluation: remembers what it folded and filtered, so that a shared part is computed once."""

    def __init__(self, like: Tensor, fold: bool | None = None, start: Tensor | None = None) -> None:
        self.like = like
        self.fold = fold
        self.start = start
        self._taps: dict[int, Taps] = {}
        self._outputs: dict[int, list[tuple[Tensor, Tensor]]] = {}

    def taps(self, node: "Node") -> Taps:
        """The node as one filter."""
        if id(node) not in self._taps:
            self._taps[id(node)] = node.folded(self)
        return self._taps[id(node)]

    def filter(self, node: "Node", x: Tensor) -> Tensor:
        """The node applied to a signal whose sample 0 is at phase 0."""
        known = self._outputs.setdefault(id(node), [])
        for met, y in known:
            if met is x:  # not a key id(x): Dynamo would compile anew for every tensor
                return y
        y = self._filter(node, x)
        known.append((x, y))
        return y

    def folds(self, node: "Node") -> bool:
        """Whether the node runs folded: by cost, unless this evaluation was told."""
        return node.folds if self.fold is None else self.fold

    def _filter(self, node: "Node", x: Tensor) -> Tensor:
        if not self.folds(node):
            return node.cascaded(x, self)
        taps = self.taps(node)
        return lptv_filter(x, taps.weight, taps.pattern.lags)


class Node(ABC):
    """A part of an expression.

    Attributes:
        pattern: The taps of the folded form.
        channels: The width of its weights; 1 fits every width.
        margin: How far samples outside the signal matter between the stages of the cascade.
        cost: The estimated cost per sample of the cheaper form.
    """

    def __init__(self, pattern: Pattern, channels: int, margin: int, cascade_cost: float) -> None:
        self.pattern, self.channels, self.margin = pattern, channels, margin
        self.folds = folded_cost(pattern) <= cascade_cost
        self.cost = min(folded_cost(pattern), cascade_cost)

    @abstractmethod
    def folded(self, run: Run) -> Taps:
        """The node as one filter."""

    @abstractmethod
    def cascaded(self, x: Tensor, run: Run) -> Tensor:
        """The node applied part by part."""


class Fir(Node):
    """Given weights."""

    def __init__(self, taps: Taps) -> None:
        super().__init__(taps.pattern, taps.weight.shape[-1], taps.pattern.lookahead, float("inf"))
        self.taps = taps

    def folded(self, run: Run) -> Taps:  # noqa: D102
        weight = self.taps.weight
        return Taps(weight.to(torch.promote_types(weight.dtype, torch.float32)), self.pattern)

    def cascaded(self, x: Tensor, run: Run) -> Tensor:  # noqa: D102
        taps = run.taps(self)
        return lptv_filter(x, taps.weight, taps.pattern.lags)


class Delay(Node):
    """A pure delay; the identity for 0."""

    def __init__(self, delay: int) -> None:
        pattern = Pattern.full(1, (delay,))
        super().__init__(pattern, 1, pattern.lookahead, _PASS if delay else 0.0)
        self.delay = delay

    def folded(self, run: Run) -> Taps:  # noqa: D102
        return delay_taps(self.delay, run.like)

    def cascaded(self, x: Tensor, run: Run) -> Tensor:  # noqa: D102
        late, early = max(0, self.delay), max(0, -self.delay)
        return F.pad(x, (0, 0, late, early))[:, early : early + x.shape[1]] if self.delay else x


class Scaled(Node):
    """A gain on a filter: a number, a tensor of one element, or one gain a channel."""

    def __init__(self, node: Node, gain: float | Tensor) -> None:
        width = gain.numel() if isinstance(gain, Tensor) else 1
        super().__init__(node.pattern, max(width, node.channels), node.margin, 1 + node.cost)
        self.node, self.gain = node, gain

    def folded(self, run: Run) -> Taps:  # noqa: D102
        taps = run.taps(self.node)
        return Taps(taps.weight * self._gain(), taps.pattern)

    def cascaded(self, x: Tensor, run: Run) -> Tensor:  # noqa: D102
        return run.filter(self.node, x) * self._gain()

    def _gain(self) -> float | Tensor:
        return self.gain.reshape(-1) if isinstance(self.gain, Tensor) else self.gain


class Sum(Node):
    """Two filters in parallel."""

    def __init__(self, first: Node, second: Node) -> None:
        super().__init__(
            first.pattern + second.pattern,
            max(first.channels, second.channels),
            max(first.margin, second.margin),
            1 + first.cost + second.cost,
        )
        self.first, self.second = first, second

    def folded(self, run: Run) -> Taps:  # noqa: D102
        return add_taps(run.taps(self.first), run.taps(self.second))

    def cascaded(self, x: Tensor, run: Run) -> Tensor:  # noqa: D102
        return run.filter(self.first, x) + run.filter(self.second, x)


class Product(Node):
    """Filters in series, applied from last to first; neighbours are folded where that costs less."""

    def __init__(self, factors: tuple[Node, ...]) -> None:
        pattern = _product_pattern(factors)
        cost, self._parts = (
            _partition(factors) if len(factors) > 2 else (sum(f.cost for f in factors), factors)
        )
        super().__init__(pattern, max(f.channels for f in factors), sum(f.margin for f in factors), cost)
        self.factors = factors

    @property
    def parts(self) -> tuple[Node, ...]:
        """What the cascade runs: the factors, some of them folded into one."""
        return self._parts

    def folded(self, run: Run) -> Taps:  # noqa: D102
        taps = run.taps(self.factors[-1])
        for factor in reversed(self.factors[:-1]):
            taps = compose_taps(run.taps(factor), taps)
        return taps

    def cascaded(self, x: Tensor, run: Run) -> Tensor:  # noqa: D102
        for part in reversed(self._parts if run.fold is None else self.factors):
            x = run.filter(part, x)
        return x


class LowerRate(Node):
    """Prefilter, keep every `factor`-th sample, filter at the lower rate, and hold each result."""

    def __init__(self, node: Node, factor: int, prefilter: Node) -> None:
        held = node.pattern.at_rate(factor).after(Pattern.hold(factor))
        self._strided = isinstance(prefilter, Fir) and factor % prefilter.pattern.period == 0
        before = prefilter.cost / factor if self._strided else prefilter.cost
        super().__init__(
            held.after(prefilter.pattern),
            max(node.channels, prefilter.channels),
            factor * node.margin + prefilter.margin,
            _PASS + before + node.cost / factor,
        )
        self.node, self.factor, self.prefilter = node, factor, prefilter

    def folded(self, run: Run) -> Taps:  # noqa: D102
        held = compose_taps(at_rate_taps(run.taps(self.node), self.factor), hold_taps(self.factor, run.like))
        return compose_taps(held, run.taps(self.prefilter))

    def cascaded(self, x: Tensor, run: Run) -> Tensor:  # noqa: D102
        kept = self._decimated(in_blocks(x, self.factor), run)
        held = run.filter(self.node, kept).unsqueeze(2).expand(-1, -1, self.factor, -1)
        return first_samples(held.flatten(1, 2), x.shape[1])

    def _decimated(self, x: Tensor, run: Run) -> Tensor:
        """The prefilter at every `factor`-th sample alone, where its phase there is always the same."""
        if not self._strided:
            return run.filter(self.prefilter, x)[:, :: self.factor]
        weight, pattern = run.taps(self.prefilter).weight[0], self.prefilter.pattern
        padded = F.pad(x, (0, 0, pattern.memory, pattern.lookahead))
        starts = [pattern.memory - lag for lag in pattern.lags]
        kept = [padded[:, start : start + x.shape[1] : self.factor] for start in starts]
        return sum((kept[i] * weight[i] for i in range(1, len(kept))), kept[0] * weight[0])


class AtRate(Node):
    """A filter that runs on each of the `factor` interleaved signals of its input by itself."""

    def __init__(self, node: Node, factor: int) -> None:
        cost = 2 * _PASS + node.cost
        super().__init__(node.pattern.at_rate(factor), node.channels, factor * node.margin, cost)
        self.node, self.factor = node, factor

    def folded(self, run: Run) -> Taps:  # noqa: D102
        return at_rate_taps(run.taps(self.node), self.factor)

    def cascaded(self, x: Tensor, run: Run) -> Tensor:  # noqa: D102
        phases = range(self.factor)
        blocks = in_blocks(x, self.factor)
        streams = torch.cat([blocks[:, phase :: self.factor] for phase in phases], 0)
        y = run.filter(self.node, streams).unflatten(0, (self.factor, x.shape[0]))
        return first_samples(torch.stack([y[phase] for phase in phases], 2).flatten(1, 2), x.shape[1])


def _product_pattern(factors: tuple[Node, ...]) -> Pattern:
    pattern = factors[-1].pattern
    for factor in reversed(factors[:-1]):
        pattern = factor.pattern.after(pattern)
    return pattern


def _partition(factors: tuple[Node, ...]) -> tuple[float, tuple[Node, ...]]:
    """The cheapest way to cut the factors into runs, each run of several folded into one filter."""
    best: list[tuple[float, tuple[Node, ...]]] = [(0.0, ())]
    for stop in range(1, len(factors) + 1):
        options = [(best[stop - 1][0] + factors[stop - 1].cost, (*best[stop - 1][1], factors[stop - 1]))]
        for start in range(stop - 1):
            if stop - start < len(factors):
                part = Product(factors[start:stop])
                options.append((best[start][0] + part.cost, (*best[start][1], part)))
        best.append(min(options, key=lambda option: option[0]))
    return best[-1]


def evaluate(node: Node, x: Tensor, fold: bool | None = None, start: Tensor | None = None) -> Tensor:
    """Apply a node to a signal that starts at phase 0 and is zero outside its ends.

    Args:
        node: The filter.
        x: The signal, (batch, time, channels).
        fold: Run folded (True), as a cascade (False), or as estimated to be cheaper (None).
        start: The absolute time of each row's first sample, (batch,), for causal nodes that
            `hold_mix.runs_at_any_phase`; None is 0.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    run = Run(x.new_empty((), dtype=dtype), fold, start)
    if run.folds(node):
        return run.filter(node, x)
    # Between stages that look ahead, the samples before the start and after the end are not zero.
    period = node.pattern.period
    before = (node.margin + period - 1) // period * period
    y = run.filter(node, F.pad(x.to(dtype), (0, 0, before, node.margin)))
    return y[:, before : before + x.shape[1]].to(x.dtype).contiguous()


def weights(node: Node) -> list[Tensor]:
    """Every tensor in the expression: taps and gains."""
    found: list[Tensor] = []
    for value in vars(node).values():
        if isinstance(value, Taps):
            found.append(value.weight)
        elif isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, (Node, tuple)):
            parts = (value,) if isinstance(value, Node) else value
            found.extend(w for part in parts if isinstance(part, Node) for w in weights(part))
    return found
