"""All that is there for PyTorch's compiler alone.

Dynamo does not look into `filter_chunk`: it would spend seconds on the bookkeeping of an expression. What is behind
Dynamo, AOTAutograd and Inductor, does. A plan is a constant to all of them (`torch.utils._pytree.register_constant`).
"""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import register_constant

__all__ = ["constant", "first_samples", "guard_hooks", "in_blocks", "known_equal", "without_none"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def constant(function: _Function) -> _Function:
    """Decorate a function whose result Dynamo is to take as a constant, without tracing it.

    That is `torch.compiler.assume_constant_result`, which imports Dynamo, and takes seconds.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


class _Nothing:
    """None, which Dynamo does not pass to a function that it does not trace."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Nothing)

    def __hash__(self) -> int:
        return 0


register_constant(_Nothing)
_NOTHING = _Nothing()


def without_none(value: Any) -> Any:
    """A value, or a tuple of values, with a mark in the place of each None."""
    if isinstance(value, tuple):
        parts = [without_none(part) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return _NOTHING if value is None else value


def _with_none(value: Any) -> Any:
    if isinstance(value, tuple):
        parts = [_with_none(part) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return None if isinstance(value, _Nothing) else value


def __getattr__(name: str) -> Any:
    """Make `filter_chunk` when it is first asked for: importing Dynamo takes seconds."""
    if name != "filter_chunk":
        raise AttributeError(name)
    from torch._dynamo import nonstrict_trace  # noqa: PLC0415

    from dsptorch.functional import filtering  # noqa: PLC0415

    def filter_chunk(*args: Any) -> Any:
        return filtering.filter_chunk(*map(_with_none, args))

    globals()[name] = nonstrict_trace(filter_chunk)
    return globals()[name]


def guard_hooks(module: torch.nn.Module) -> None:
    """Compile anew where hooks of a module come or go: by default Dynamo does not look again, and skips new ones.

    Read from `__dict__`, because reading the attributes themselves is what it leaves without a guard.
    """
    for name in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"):
        len(module.__dict__[name])


def in_blocks(x: Tensor, size: int, history: int = 0) -> Tensor:
    """Zero-pad the time after `history` to a multiple of `size`, so that a compiler can prove divisibility."""
    time = x.shape[1] - history
    blocks = (time + size - 1) // size or 1
    if known_equal(time, blocks * size):
        return x
    if torch.compiler.is_compiling():
        blocks += 1  # or one graph would hold for a single block, and another for several
    return F.pad(x, (0, 0, 0, blocks * size - time))


def first_samples(y: Tensor, time: int) -> Tensor:
    """The first samples of a signal that `in_blocks` may have made longer."""
    if known_equal(time, y.shape[1]):
        return y
    if torch.compiler.is_compiling():
        # Not a slice: it has another layout where there is no rest, and so another graph.
        return F.pad(y, (0, 0, 0, time - y.shape[1]))
    return y[:, :time]


def known_equal(time: int, length: int) -> bool:
    """Whether two lengths are equal; in a graph for many lengths, whether they always are."""
    if not torch.compiler.is_compiling():
        return time == length
    from torch.fx.experimental.symbolic_shapes import statically_known_true  # noqa: PLC0415, brings sympy

    return statically_known_true(time == length)
