"""What a number may be: declared in its type, checked where a configuration is made or a function is called.

steps: Count = 1000
clip: Annotated[float, Range(0)] = 1.0
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from inspect import signature
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import UsageError

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Range:
    """The finite numbers from `low` to `high`, both included.

    Args:
        low: the smallest.
        high: the greatest.
        without: a bound that is not included.
    """

    low: float
    high: float = math.inf
    without: float = math.inf

    def __contains__(self, number: float) -> bool:
        """Whether a number lies in it; NaN lies in none."""
        return self.low <= number <= self.high and number not in (self.without, math.inf)

    def __repr__(self) -> str:
        """Show the range as in "in [0, 1)"."""
        if self.high == math.inf:
            return f"{'>' if self.without == self.low else '>='} {self.low}"
        left, right = "(" if self.without == self.low else "[", ")" if self.without == self.high else "]"
        return f"in {left}{self.low}, {self.high}{right}"


class Distinct:
    """One element or more, none twice."""

    def __contains__(self, elements: Sequence[object]) -> bool:
        """Whether a sequence is so."""
        return 0 < len(elements) == len(set(elements))

    def __repr__(self) -> str:
        """Show it in a message."""
        return "of one element or more, each once"


Count = Annotated[int, Range(1)]
Seed = Annotated[int, Range(0, 2**63 - 1)]
Positive = Annotated[float, Range(0, without=0)]
NotNegative = Annotated[float, Range(0)]
Fraction = Annotated[float, Range(0, 1)]
BelowOne = Annotated[float, Range(0, 1, without=1)]
Seeds = Annotated[Sequence[Seed], Distinct()]

KINDS = {int: "an integer", float: "a number"}


def check(of: Callable[..., object], values: Mapping[str, Any], prefix: str = "") -> None:
    """Refuse values that the types of a function's arguments, or of a dataclass's fields, do not allow.

    Numbers are checked, sequences of them, choices (`Literal`), and that None stands where it may.

    Args:
        of: the function or the class.
        values: by name.
        prefix: of the names in messages.

    Raises:
        UsageError: One is refused; the message names it.
    """
    for name, hint in get_type_hints(of, include_extras=True).items():
        if name in values:
            _check(prefix + name, hint, values[name])


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Check the arguments of a function at every call."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        check(function, signature(function).bind(*args, **kwargs).arguments)
        return function(*args, **kwargs)

    return call


def _check(name: str, hint: Any, value: Any) -> None:
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        if value is None and NoneType in parts:
            return
        hint = next(part for part in parts if part is not NoneType)
        origin, parts = get_origin(hint), get_args(hint)
    if value is None:
        raise UsageError(f"{name}: expected a value, got null; give one, or leave the key out")
    if origin is Literal and value not in parts:
        raise UsageError(f"{name}: expected {' or '.join(map(repr, parts))}, got {value!r}; change it")
    if origin is Annotated:
        hint, *rules = parts
        kind = KINDS.get(hint, "a sequence")
        right = not isinstance(value, bool) and isinstance(value, (int, hint) if hint in KINDS else Sequence)
        if not right or not all(value in rule for rule in rules):
            raise UsageError(f"{name}: expected {kind} {rules[0]!r}, got {value!r}; change it")
        _check(name, hint, value)
    if origin is Sequence:
        for element in value:
            _check(name, parts[0], element)
