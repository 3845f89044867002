"""The structure of a filter: an expression with numbered slots where the weights go.

A `Plan` is built once, when a layer is constructed, and holds no tensor. It holds the parts of the filter, its
support, and whether it runs folded (all its taps as one filter, in one pass over the signal) or as a cascade of its
parts (with true decimation below a hold). Equal plans are one object, so a part that occurs twice is computed once,
and Dynamo takes a plan as a constant. `fold` and `cascade` apply a plan to weights.
"""

from collections.abc import Sequence
from functools import reduce
from typing import Any, ClassVar, cast
from weakref import WeakValueDictionary

from torch.utils._pytree import register_constant

from dsptorch.functional.support import Support

# Costs per output sample, in units of one multiply-add of a tap. A pass reads and writes the signal once for any
# number of taps; folding P phases of n taps touches P * n weights, compared with some 4,096 samples of a batch.
PASS = 2.0
_WEIGHT = 1 / 256


class Slot(int):
    """The index of a weight in the list of weights of a plan."""


class _Interned(type):
    """The metaclass that makes equal plans one object."""

    _known: ClassVar[WeakValueDictionary[Any, "Plan"]] = WeakValueDictionary()

    def __call__(cls, *args: Any) -> Any:
        plan = _Interned._known.get((cls, args))
        if plan is None:
            plan = super().__call__(*args)
            plan = _Interned._known.setdefault((cls, args), plan)
        return plan


class Plan(metaclass=_Interned):
    """A part of an expression, completely determined by its constructor's arguments.

    Attributes:
        args: The constructor's arguments: plans, slots, numbers.
        support: Where the folded form may have taps.
        width: Number of channels of the weights; 1 fits every width.
        margin: Number of zero samples that a cascade appends to the signal (and, in whole periods, prepends), because a
            stage with lookahead has outputs outside the signal that later stages use.
        cost: The estimated cost per sample of the cheaper form.
        folds: Whether the cheaper form is the folded one.
    """

    args: tuple[Any, ...]

    def __new__(cls, *args: Any) -> "Plan":  # noqa: D102
        plan = super().__new__(cls)
        plan.args = args  # here and not in the metaclass, which Dynamo ignores
        return plan

    def __init__(self, support: Support, width: int, margin: int, cascade_cost: float) -> None:
        self.support, self.width, self.margin = support, width, margin
        folded_cost = PASS + len(support.lags) * (1 + support.period * _WEIGHT)
        self.folds = folded_cost <= cascade_cost
        self.cost = min(folded_cost, cascade_cost)

    def __init_subclass__(cls) -> None:
        register_constant(cls)  # for Dynamo

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args

    def __copy__(self) -> "Plan":
        return self

    def __deepcopy__(self, memo: object) -> "Plan":
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.args))})"

    # Algebra

    def after(self, first: "Plan") -> "Plan":
        """First `first`, then `self`, also written `self @ first`: one list of factors, merged at the joint."""
        *rest, last = _factors(self)
        begin, *following = _factors(first)
        factors = (*rest, *_joined(last, begin), *following)
        return factors[0] if len(factors) == 1 else Product(factors)

    __matmul__ = after

    def __add__(self, other: "Plan") -> "Plan":
        return Sum(self, other)

    def __sub__(self, other: "Plan") -> "Plan":
        return Sum(self, Scaled(other, -1.0, None))

    def scaled(self, slot: int) -> "Plan":
        """The filter times the number in a slot."""
        return Scaled(self, 1.0, Slot(slot))

    def at_rate(self, factor: int) -> "Plan":
        """The same filter for a signal held by `factor`."""
        if isinstance(self, Shift):
            return Shift(factor * self.delay)
        return self if factor == 1 else Dilated(self, factor)

    def renumbered(self, slots: Sequence[int]) -> "Plan":
        """The same expression with slot i renamed to slots[i]."""
        done: dict[Plan, Plan] = {}

        def renamed(part: Any) -> Any:
            if isinstance(part, Slot):
                return Slot(slots[part])
            if isinstance(part, tuple):
                return tuple(map(renamed, part))
            if not isinstance(part, Plan):
                return part
            if part not in done:
                done[part] = type(part)(*map(renamed, part.args))
            return done[part]

        return cast(Plan, renamed(self))


class Literal(Plan):
    """The filter whose taps are the weight in a slot."""

    def __init__(self, slot: Slot, support: Support, width: int) -> None:
        super().__init__(support, width, support.lookahead, float("inf"))
        self.slot = slot


class Shift(Plan):
    """A pure delay; the identity for 0."""

    def __init__(self, delay: int) -> None:
        support = Support.full(1, (delay,))
        super().__init__(support, 1, support.lookahead, PASS if delay else 0.0)
        self.delay = delay


class Scaled(Plan):
    """A filter times a number, and times the weight in a slot: one element, or one a channel."""

    def __init__(self, inner: Plan, factor: float, slot: Slot | None, width: int = 1) -> None:
        super().__init__(inner.support, max(width, inner.width), inner.margin, 1 + inner.cost)
        self.inner, self.factor, self.slot = inner, factor, slot


class Sum(Plan):
    """Two filters in parallel."""

    def __init__(self, first: Plan, second: Plan) -> None:
        super().__init__(
            first.support + second.support,
            max(first.width, second.width),
            max(first.margin, second.margin),
            1 + first.cost + second.cost,
        )
        self.first, self.second = first, second


class Product(Plan):
    """Filters in series, applied from last to first; neighbours are folded where that costs less.

    Attributes:
        stages: What the cascade runs: the factors, some of them folded into one.
    """

    def __init__(self, factors: tuple[Plan, ...]) -> None:
        support = reduce(lambda first, then: then.after(first), [f.support for f in reversed(factors)])
        # The groups are kept, because equal plans are one object only while they live: each would be made again and
        # again for all that contain it, in a time that doubles with each factor.
        cost, self.stages, self._groups = _partition(factors)
        super().__init__(support, max(f.width for f in factors), sum(f.margin for f in factors), cost)
        self.factors = factors


class DecimateHold(Plan):
    """A prefilter, decimation by `factor`, a filter at the lower rate, and a hold of each result."""

    def __init__(self, inner: Plan, factor: int, prefilter: Plan) -> None:
        held = inner.support.at_rate(factor).after(Support.hold(factor))
        # If the prefilter has contiguous taps and its period divides the factor, every kept sample has phase 0. The
        # prefilter then runs at the kept samples only.
        lags, period = prefilter.support.lags, prefilter.support.period
        plain = (
            isinstance(prefilter, Literal) and lags and lags[0] <= 0 and lags[-1] - lags[0] == len(lags) - 1
        )
        self.strided = bool(plain) and factor % period == 0
        before = prefilter.cost / factor if self.strided else prefilter.cost
        super().__init__(
            held.after(prefilter.support),
            max(inner.width, prefilter.width),
            factor * inner.margin + prefilter.margin,
            PASS + before + inner.cost / factor,
        )
        self.inner, self.factor, self.prefilter = inner, factor, prefilter


class Dilated(Plan):
    """A filter applied separately to each of the `factor` interleaved signals of its input."""

    def __init__(self, inner: Plan, factor: int) -> None:
        cost = 2 * PASS + inner.cost
        super().__init__(inner.support.at_rate(factor), inner.width, factor * inner.margin, cost)
        self.inner, self.factor = inner, factor


class WeightedHold(Plan):
    """A weighted sum of several holds, with the weights in a slot: a decimation factor while it is learned.

        y[t] = sum over i of weights[i] * x[factors[i] * floor(t / factors[i])]

    It folds only if the common period is small. For the factors 1 ... 8 the period is 840 samples, so the hold runs as
    a separate stage, in which each sample uses one input per factor.
    """

    def __init__(self, factors: tuple[int, ...], slot: Slot) -> None:
        support = reduce(Support.__add__, map(Support.hold, factors))
        super().__init__(support, 1, 0, PASS + len(support.lags))
        self.factors, self.slot = factors, slot


def _factors(plan: Plan) -> tuple[Plan, ...]:
    return plan.factors if isinstance(plan, Product) else (plan,)


def _joined(second: Plan, first: Plan) -> tuple[Plan, ...]:
    """Join two neighbours: the identity is dropped, and a filter beside a hold moves to the lower rate."""
    if isinstance(first, DecimateHold) and isinstance(second, Dilated) and first.factor == second.factor:
        return (DecimateHold(second.inner.after(first.inner), first.factor, first.prefilter),)
    if isinstance(second, DecimateHold):
        return (DecimateHold(second.inner, second.factor, second.prefilter.after(first)),)
    if isinstance(first, Shift) and first.delay == 0:
        return (second,)
    if isinstance(second, Shift) and second.delay == 0:
        return (first,)
    return second, first


def _partition(factors: tuple[Plan, ...]) -> tuple[float, tuple[Plan, ...], list[Plan]]:
    """The cheapest way to split the factors into groups, where a group of several factors is folded into one filter.

    Returns:
        The cost, the groups that were chosen, and all groups.
    """
    best: list[tuple[float, tuple[Plan, ...]]] = [(0.0, ())]
    groups: list[Plan] = []
    for stop in range(1, len(factors) + 1):
        options = [(best[stop - 1][0] + factors[stop - 1].cost, (*best[stop - 1][1], factors[stop - 1]))]
        for start in range(stop - 1):
            if stop - start < len(factors):
                group = Product(factors[start:stop])
                groups.append(group)
                options.append((best[start][0] + group.cost, (*best[start][1], group)))
        best.append(min(options, key=lambda option: option[0]))
    return *best[-1], groups


IDENTITY = Shift(0)
"""The filter y[t] = x[t]."""


def hold(factor: int) -> Plan:
    """Decimate, then hold: y[t] = x[factor * floor(t / factor)]."""
    return DecimateHold(IDENTITY, factor, IDENTITY) if factor > 1 else IDENTITY
