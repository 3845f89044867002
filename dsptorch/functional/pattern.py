"""Which taps of a periodic filter may be non-zero, at which phases: all that is known without weights.

A `Pattern` is pure Python integers, so it is decided once, costs nothing in a compiled graph, and answers
what must be known before any number is: how far a filter looks ahead, how much it remembers, how many taps
a product would have. It is an upper bound: a learned weight may happen to be zero.
"""

from dataclasses import dataclass
from math import lcm


@dataclass(frozen=True)
class Pattern:
    """The taps of y[t] = sum over lag of w[t mod period, lag] * x[t - lag] that may be non-zero.

    Args:
        period: The number of phases P.
        lags: The delays that some phase uses, in increasing order.
        phases: For each lag the phases that use it: bit p of the integer is set if phase p may.
    """

    period: int
    lags: tuple[int, ...]
    phases: tuple[int, ...]

    @classmethod
    def full(cls, period: int, lags: tuple[int, ...]) -> "Pattern":
        """Every phase may use every lag."""
        return cls(period, lags, ((1 << period) - 1,) * len(lags))

    @classmethod
    def hold(cls, factor: int) -> "Pattern":
        """Decimate and hold: phase p uses lag p alone."""
        return cls(factor, tuple(range(factor)), tuple(1 << p for p in range(factor)))

    @property
    def lookahead(self) -> int:
        """The furthest future sample that some output uses."""
        return max(0, -self.lags[0]) if self.lags else 0

    @property
    def memory(self) -> int:
        """The furthest past sample that some output uses."""
        return max(0, self.lags[-1]) if self.lags else 0

    def repeated(self, period: int) -> "Pattern":
        """The same filter, described over a multiple of its period."""
        copies = ((1 << period) - 1) // ((1 << self.period) - 1)
        return Pattern(period, self.lags, tuple(mask * copies for mask in self.phases))

    def at_rate(self, factor: int) -> "Pattern":
        """The filter of a signal held by `factor`: each phase lasts, and each lag spans, `factor` samples."""
        spread = tuple(
            sum(((1 << factor) - 1) << (p * factor) for p in range(self.period) if mask >> p & 1)
            for mask in self.phases
        )
        return Pattern(self.period * factor, tuple(lag * factor for lag in self.lags), spread)

    def __add__(self, other: "Pattern") -> "Pattern":
        period = lcm(self.period, other.period)
        return _collect(
            period,
            [
                pair
                for pattern in (self.repeated(period), other.repeated(period))
                for pair in zip(pattern.lags, pattern.phases, strict=True)
            ],
        )

    def after(self, other: "Pattern") -> "Pattern":
        """First `other`, then `self`: the output of `other` at t - lag is taken at phase t - lag."""
        period = lcm(self.period, other.period)
        first, then = other.repeated(period), self.repeated(period)
        return _collect(
            period,
            [
                (lag + earlier, mask & _rotate(other_mask, lag % period, period))
                for lag, mask in zip(then.lags, then.phases, strict=True)
                for earlier, other_mask in zip(first.lags, first.phases, strict=True)
            ],
        )


def _rotate(mask: int, by: int, period: int) -> int:
    """Bit p of the result is bit p - by of the mask, modulo the period."""
    return (mask << by | mask >> (period - by)) & ((1 << period) - 1)


def _collect(period: int, pairs: list[tuple[int, int]]) -> Pattern:
    """Unite the phases of equal lags, and drop the lags that no phase uses."""
    used: dict[int, int] = {}
    for lag, mask in pairs:
        if mask:
            used[lag] = used.get(lag, 0) | mask
    lags = tuple(sorted(used))
    return Pattern(period, lags, tuple(used[lag] for lag in lags))
