"""The folded form of a periodic filter: one weight tensor over its pattern, and the algebra on it.

Everything here works on tensors of (phases, taps, channels), thousands of numbers where the signal has
millions, and is plain differentiable tensor code: gradients flow through the folding to every factor.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dsptorch.functional.pattern import Pattern


@dataclass(frozen=True)
class Taps:
    """The filter y[t] = sum over i of weight[t mod P, i] * x[t - pattern.lags[i]].

    Shape:
        weight: (pattern.period, len(pattern.lags), channels or 1)
    """

    weight: Tensor
    pattern: Pattern


def hold_taps(factor: int, like: Tensor) -> Taps:
    """Decimate and hold by `factor`: weight 1 where the lag is the phase. The identity for factor 1."""
    return Taps(torch.eye(factor, dtype=like.dtype, device=like.device).unsqueeze(-1), Pattern.hold(factor))


def delay_taps(delay: int, like: Tensor) -> Taps:
    """A pure delay (negative: an advance), which costs no tap in a product."""
    return Taps(like.new_ones(1, 1, 1), Pattern.full(1, (delay,)))


def at_rate_taps(taps: Taps, factor: int) -> Taps:
    """The filter of a signal held by `factor`."""
    return Taps(taps.weight.repeat_interleave(factor, 0), taps.pattern.at_rate(factor))


def add_taps(first: Taps, second: Taps) -> Taps:
    """The sum of two filters."""
    pattern = first.pattern + second.pattern
    weight = _zeros(pattern, first.weight)
    for term in (first, second):
        weight = weight + _placed(_repeated(term, pattern.period), term.pattern.lags, pattern)
    return Taps(weight, pattern)


def compose_taps(second: Taps, first: Taps) -> Taps:
    """First `first`, then `second`: w[p, k + j] += second[p, k] * first[(p - lag_k) mod P, j]."""
    pattern = second.pattern.after(first.pattern)
    outer, inner = _repeated(second, pattern.period), _repeated(first, pattern.period)
    weight = _zeros(pattern, outer)
    for i, lag in enumerate(second.pattern.lags):
        product = outer[:, i : i + 1] * (inner.roll(lag, 0) if pattern.period > 1 else inner)
        weight = weight + _placed(product, tuple(lag + j for j in first.pattern.lags), pattern)
    return Taps(weight, pattern)


def _repeated(taps: Taps, period: int) -> Tensor:
    return taps.weight.repeat(period // taps.pattern.period, 1, 1)


def _zeros(pattern: Pattern, like: Tensor) -> Tensor:
    return like.new_zeros(pattern.period, len(pattern.lags), 1)


def _placed(weight: Tensor, lags: tuple[int, ...], pattern: Pattern) -> Tensor:
    """Move the taps at `lags` to their places among the pattern's lags, run by run; drop those not there."""
    count = len(pattern.lags)
    places = [pattern.lags.index(lag) if lag in pattern.lags else None for lag in lags]
    placed = _zeros(pattern, weight)
    start = 0
    while start < len(places):
        place, stop = places[start], start + 1
        if place is not None:
            while stop < len(places) and places[stop] == place + stop - start:
                stop += 1
            placed = placed + F.pad(weight[:, start:stop], (0, 0, place, count - place - (stop - start)))
        start = stop
    return placed
