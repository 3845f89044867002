"""The code that PyTorch's compiler needs, and nothing else does.

Dynamo does not trace `filter_chunk`, where it would spend seconds on the bookkeeping of an expression. AOTAutograd and
Inductor do trace it. A plan is a constant to all three (`torch.utils._pytree.register_constant`).
"""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import register_constant

__all__ = [
    "constant",
    "first_samples",
    "guard_hooks",
    "in_blocks",
    "is_exporting",
    "known_equal",
    "without_none",
]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def constant(function: _Function) -> _Function:
    """Decorate a function so that Dynamo takes its result as a constant and does not trace it.

    This does what `torch.compiler.assume_constant_result` does, without its import of Dynamo, which takes seconds.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


@constant
def is_exporting() -> bool:
    """Whether `torch.export` traces.

    `torch.compiler.is_exporting` is always true to Dynamo of torch 2.11, on which the kernels run too.
    """
    return torch.compiler.is_exporting()


class _Nothing:
    """Stands for None, which Dynamo does not pass to a function that it does not trace."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Nothing)

    def __hash__(self) -> int:
        return 0


register_constant(_Nothing)
_NOTHING = _Nothing()


def without_none(value: Any) -> Any:
    """Replace each None in a value, or in a tuple of values, by a mark."""
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
    """Make `filter_chunk` on first access, because importing Dynamo takes seconds."""
    if name != "filter_chunk":
        raise AttributeError(name)
    from torch._dynamo import nonstrict_trace  # noqa: PLC0415

    from dsptorch.functional import filtering  # noqa: PLC0415

    def filter_chunk(*args: Any) -> Any:
        return filtering.filter_chunk(*map(_with_none, args))

    globals()[name] = nonstrict_trace(filter_chunk)
    return globals()[name]


def guard_hooks(module: torch.nn.Module) -> None:
    """Make compiled code depend on the hooks of a module: by default Dynamo does not guard them, and skips new ones.

    They are read from `__dict__`, because Dynamo does not guard a read of the attributes themselves.
    """
    for name in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"):
        len(module.__dict__[name])


def in_blocks(x: Tensor, size: int, history: int = 0) -> Tensor:
    """Zero-pad the samples after `history` to a multiple of `size`, so that a compiler can prove divisibility."""
    time = x.shape[1] - history
    blocks = (time + size - 1) // size or 1
    if known_equal(time, blocks * size):
        return x
    if torch.compiler.is_compiling():
        blocks += 1  # never a single block, which would need a graph of its own
    return F.pad(x, (0, 0, 0, blocks * size - time))


def first_samples(y: Tensor, time: int) -> Tensor:
    """The first `time` samples of a signal that `in_blocks` may have padded."""
    if known_equal(time, y.shape[1]):
        return y
    if torch.compiler.is_compiling():
        # Not a slice: where a slice cuts nothing, its layout differs, and the compiler makes another graph.
        return F.pad(y, (0, 0, 0, time - y.shape[1]))
    return y[:, :time]


def known_equal(time: int, length: int) -> bool:
    """Whether two lengths are equal; in a graph with dynamic lengths, whether they are always equal."""
    if not torch.compiler.is_compiling():
        return time == length
    from torch.fx.experimental.symbolic_shapes import statically_known_true  # noqa: PLC0415, brings sympy

    return statically_known_true(time == length)
