"""The support of a periodic filter: the lags and phases at which it may have taps, known without its weights.

A `Support` consists of Python integers. It is computed once and costs nothing in a compiled graph. It gives the
lookahead and the memory of a filter and the number of taps of a product before any weight is known. It is an upper
bound, because a learned weight may be zero.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import lcm

import torch


@dataclass(frozen=True)
class Support:
    """The taps of y[t] = sum over lag of w[t mod period, lag] * x[t - lag] that may be nonzero.

    Args:
        period: The number of phases P.
        lags: The delays in samples that at least one phase uses, in increasing order.
        phases: For each lag, the phases that may use it, as bits of an integer: bit p for phase p.
    """

    period: int
    lags: tuple[int, ...]
    phases: tuple[int, ...]

    @classmethod
    def full(cls, period: int, lags: tuple[int, ...]) -> "Support":
        """The support in which every phase may use every lag."""
        return cls(period, lags, ((1 << period) - 1,) * len(lags))

    @classmethod
    def hold(cls, factor: int) -> "Support":
        """The support of decimate-and-hold: phase p uses lag p only."""
        return cls(factor, tuple(range(factor)), tuple(1 << p for p in range(factor)))

    @property
    def lookahead(self) -> int:
        """The greatest number of future samples that an output uses."""
        return max(0, -self.lags[0]) if self.lags else 0

    @property
    def memory(self) -> int:
        """The greatest number of past samples that an output uses."""
        return max(0, self.lags[-1]) if self.lags else 0

    def repeated(self, period: int) -> "Support":
        """The same filter, described over a multiple of its period."""
        copies = ((1 << period) - 1) // ((1 << self.period) - 1)
        return Support(period, self.lags, tuple(mask * copies for mask in self.phases))

    def at_rate(self, factor: int) -> "Support":
        """The support of the filter for a signal held by `factor`: lags and phases are stretched by `factor`.

        A time-invariant filter stays time-invariant.
        """
        lags = tuple(lag * factor for lag in self.lags)
        if self.period == 1:
            return Support(1, lags, self.phases)
        return Support(self.period * factor, lags, tuple(_spread(mask, factor) for mask in self.phases))

    def __add__(self, other: "Support") -> "Support":
        return _sum(self, other)

    def after(self, other: "Support") -> "Support":
        """First `other`, then `self`: the output of `other` at t - lag is taken at phase t - lag."""
        return _product(self, other)


def _cached(join: "Callable[[Support, Support], Support]") -> "Callable[[Support, Support], Support]":
    """Cache results in eager code only, because Dynamo warns of a cache."""
    known = lru_cache(maxsize=4096)(join)

    def joined(first: Support, second: Support) -> Support:
        return join(first, second) if torch.compiler.is_compiling() else known(first, second)

    return joined


@_cached
def _sum(first: Support, second: Support) -> Support:
    period = lcm(first.period, second.period)
    parts = (first.repeated(period), second.repeated(period))
    return _collect(period, [pair for part in parts for pair in zip(part.lags, part.phases, strict=True)])


@_cached
def _product(second: Support, first: Support) -> Support:
    period = lcm(second.period, first.period)
    first, second = first.repeated(period), second.repeated(period)
    return _collect(
        period,
        [
            (lag + earlier, mask & _rotate(other_mask, lag % period, period))
            for lag, mask in zip(second.lags, second.phases, strict=True)
            for earlier, other_mask in zip(first.lags, first.phases, strict=True)
        ],
    )


def _spread(mask: int, factor: int) -> int:
    """Repeat each bit of the mask `factor` times."""
    bits = f"{mask:b}".translate({ord("0"): "0" * factor, ord("1"): "1" * factor})
    return int(bits, 2)


def _rotate(mask: int, by: int, period: int) -> int:
    """Rotate the mask: bit p of the result is bit p - by of the mask, modulo the period."""
    return (mask << by | mask >> (period - by)) & ((1 << period) - 1)


def _collect(period: int, pairs: list[tuple[int, int]]) -> Support:
    """Merge the phases of equal lags, and drop lags that no phase uses."""
    used: dict[int, int] = {}
    for lag, mask in pairs:
        if mask:
            used[lag] = used.get(lag, 0) | mask
    lags = tuple(sorted(used))
    return Support(period, lags, tuple(used[lag] for lag in lags))
