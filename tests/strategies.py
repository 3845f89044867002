"""Hypothesis strategies that shrink to things a person can read, and the runner of planted bugs.

Weights and signals are small whole numbers in float64, so every sum is exact and two ways of computing one
thing are compared for equality. Failing expressions print as the mathematics that they are.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor

from dsptorch import PeriodicFIR
from dsptorch.testing.strategies import chunkings as chunk_lengths

__all__ = ["chunk_lengths", "expressions", "fails", "firs", "holds", "signals"]

CHANNELS = 2


def holds(check: Callable[..., None], *strategies: st.SearchStrategy[Any], times: int = 1) -> None:
    """Check a property on many examples: as many as the profile says, or some times that."""
    run = given(st.tuples(*strategies))(lambda args: check(*args))
    settings(max_examples=times * settings().max_examples)(run)()


def fails(check: Callable[..., None], *strategies: st.SearchStrategy[Any], times: int = 1) -> None:
    """Check that some example breaks the property: a planted bug must be caught."""
    run = given(st.tuples(*strategies))(lambda args: check(*args))
    quick = settings(
        max_examples=times * settings().max_examples,
        phases=(Phase.generate,),
        report_multiple_bugs=False,
        database=None,
        print_blob=False,
    )
    with pytest.raises(AssertionError):
        quick(run)()


class Leaves(list[Tensor]):
    """The weights and gains that an expression is built of, in order; or those it is to be built of instead."""

    def __init__(self, given: list[Tensor] | None = None) -> None:
        super().__init__()
        self.given = given

    def take(self, values: Any) -> Tensor:
        """The next leaf."""
        leaf = (
            self.given[len(self)]
            if self.given
            else torch.tensor(values, dtype=torch.float64, requires_grad=True)
        )
        self.append(leaf)
        return leaf


class Expression(ABC):
    """A filter written twice: `filter()` by the library, `matrix()` by the definition of each operation."""

    @abstractmethod
    def filter(self, leaves: Leaves) -> PeriodicFIR:
        """Build it from the library, collecting its weights and gains in `leaves`."""

    @abstractmethod
    def matrix(self, start: int, stop: int) -> np.ndarray:
        """The operator on the times start ... stop - 1: (channels or 1, output time, input time)."""

    @abstractmethod
    def reach(self) -> int:
        """No output uses an input further away than this."""

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))  # hypothesis would print the fields

    def build(self) -> PeriodicFIR:
        return self.filter(Leaves())

    def apply(self, x: Tensor) -> Tensor:
        """The oracle: the matrix product, on a stretch of time so long that its ends are not felt."""
        time, far = x.shape[1], self.reach()
        matrix = self.matrix(-far, time + far)[:, far : far + time, far : far + time]
        return torch.einsum("ctu,buc->btc", torch.tensor(matrix).expand(x.shape[2], -1, -1), x)


@dataclass(frozen=True, repr=False)
class Fir(Expression):
    taps: tuple[tuple[tuple[float, ...], ...], ...]
    offset: int = 0

    def filter(self, leaves):
        return PeriodicFIR.fir(leaves.take(self.taps), self.offset)

    def matrix(self, start, stop):
        weight = np.array(self.taps, dtype=float)
        result = np.zeros((weight.shape[2], stop - start, stop - start))
        for k in range(weight.shape[1]):
            t = np.arange(start, stop)
            t = t[(t - k + self.offset >= start) & (t - k + self.offset < stop)]
            result[:, t - start, t - k + self.offset - start] = weight[t % len(weight), k].T
        return result

    def reach(self):
        return max(abs(self.offset), abs(len(self.taps[0]) - 1 - self.offset))

    def __repr__(self):
        return f"fir({[[list(c) for c in k] for k in self.taps]}, offset={self.offset})"


@dataclass(frozen=True, repr=False)
class Delay(Expression):
    delay: int

    def filter(self, leaves):
        return PeriodicFIR.delay(self.delay)

    def matrix(self, start, stop):
        return np.eye(stop - start, k=-self.delay)[None]

    def reach(self):
        return abs(self.delay)

    def __repr__(self):
        return f"delay({self.delay})"


@dataclass(frozen=True, repr=False)
class Hold(Expression):
    factor: int

    def filter(self, leaves):
        return PeriodicFIR.hold(self.factor)

    def matrix(self, start, stop):
        result = np.zeros((1, stop - start, stop - start))
        t = np.arange(start, stop)
        t = t[t // self.factor * self.factor >= start]
        result[0, t - start, t // self.factor * self.factor - start] = 1
        return result

    def reach(self):
        return self.factor - 1

    def __repr__(self):
        return f"hold({self.factor})"


@dataclass(frozen=True, repr=False)
class Compose(Expression):
    second: Expression
    first: Expression

    def filter(self, leaves):
        return self.second.filter(leaves) @ self.first.filter(leaves)

    def matrix(self, start, stop):
        return self.second.matrix(start, stop) @ self.first.matrix(start, stop)

    def reach(self):
        return self.second.reach() + self.first.reach()

    def __repr__(self):
        return f"({self.second} @ {self.first})"


@dataclass(frozen=True, repr=False)
class Add(Expression):
    first: Expression
    second: Expression
    sign: int = 1

    def filter(self, leaves):
        first, second = self.first.filter(leaves), self.second.filter(leaves)
        return first + second if self.sign == 1 else first - second

    def matrix(self, start, stop):
        return self.first.matrix(start, stop) + self.sign * self.second.matrix(start, stop)

    def reach(self):
        return max(self.first.reach(), self.second.reach())

    def __repr__(self):
        return f"({self.first} {'+' if self.sign == 1 else '-'} {self.second})"


@dataclass(frozen=True, repr=False)
class Scale(Expression):
    gain: float | tuple[float, ...]
    inner: Expression

    def filter(self, leaves):
        if not isinstance(self.gain, tuple):
            return self.gain * self.inner.filter(leaves)
        gain = leaves.take(self.gain)
        return self.inner.filter(leaves) * gain

    def matrix(self, start, stop):
        return np.array(self.gain, dtype=float).reshape(-1, 1, 1) * self.inner.matrix(start, stop)

    def reach(self):
        return self.inner.reach()

    def __repr__(self):
        return f"{self.gain} * {self.inner}"


@dataclass(frozen=True, repr=False)
class AtRate(Expression):
    inner: Expression
    factor: int

    def filter(self, leaves):
        return self.inner.filter(leaves).at_rate(self.factor)

    def matrix(self, start, stop):
        # Each of the interleaved signals x[factor * n + r] is filtered by itself.
        low, high = start // self.factor, -(-stop // self.factor)
        inner = self.inner.matrix(low, high)
        full = np.stack([np.kron(channel, np.eye(self.factor)) for channel in inner])
        window = slice(start - low * self.factor, stop - low * self.factor)
        return full[:, window, window]

    def reach(self):
        return self.factor * self.inner.reach()

    def __repr__(self):
        return f"{self.inner}.at_rate({self.factor})"


@st.composite
def firs(draw: st.DrawFn, causal: bool = False, positive: bool = False) -> Fir:
    """A periodic filter with up to 3 phases and 4 taps."""
    period, taps, width = (
        draw(st.integers(1, 3)),
        draw(st.integers(1, 4)),
        draw(st.sampled_from([1, CHANNELS])),
    )
    values = st.integers(1, 3) if positive else st.integers(-2, 2)
    channel, tap = st.tuples(*[values] * width), None
    tap = st.tuples(*[channel] * taps)
    return Fir(draw(st.tuples(*[tap] * period)), draw(st.integers(-2, 0 if causal else 3)))


def expressions(causal: bool = False, positive: bool = False) -> st.SearchStrategy[Expression]:
    """An expression of the algebra. `causal` ones never look ahead; `positive` ones cannot cancel."""
    base = st.one_of(
        firs(causal, positive),
        st.builds(Delay, st.integers(0 if causal else -3, 3)),
        st.builds(Hold, st.integers(1, 4)),
    )
    number = st.integers(1, 3) if positive else st.integers(-2, 2)
    gain = st.one_of(number.map(float), st.tuples(number), st.tuples(*[number] * CHANNELS))

    def extend(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
        return st.one_of(
            st.builds(Compose, inner, inner),
            st.builds(Add, inner, inner, st.just(1) if positive else st.sampled_from([1, -1])),
            st.builds(Scale, gain, inner),
            st.builds(AtRate, inner, st.integers(1, 3)),
        )

    return st.recursive(base, extend, max_leaves=4)


@st.composite
def signals(draw: st.DrawFn, min_time: int = 0, max_time: int = 14, min_batch: int = 0) -> Tensor:
    """A signal of whole numbers: (batch, time, CHANNELS), float64."""
    shape = (draw(st.integers(min_batch, 2)), draw(st.integers(min_time, max_time)), CHANNELS)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    return torch.randint(-4, 5, shape, generator=generator).double()
