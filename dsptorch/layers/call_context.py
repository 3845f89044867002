"""The context of a call (segment ids, cache) for layers inside models that pass them hidden states only."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

__all__ = ["Call", "current_call", "enter_call", "remember_in_backward", "segmented"]


class Call(NamedTuple):
    """A call of a model.

    Attributes:
        segment_ids: Those of its input, (batch, time); None: each row is one signal.
        explicit: Whether the user gave the segment ids, so that no mask may replace them.
        has_cache: Whether the model continues from a cache; None if no module of it takes one.
    """

    segment_ids: Tensor | None = None
    explicit: bool = False
    has_cache: bool | None = None


_NONE = Call()


class _Here(threading.local):
    """The call of this thread. Dynamo traces it, as it does not a ContextVar."""

    def __init__(self) -> None:  # for Dynamo, which guards that the attribute is there
        self.call = _NONE


_here = _Here()


class _Backward:
    """The context of the backward pass in progress.

    Autograd may run it in another thread, where checkpoints run layers again.
    """

    opened: tuple[Call, ...] = ()  # the contexts of `segmented` that are open, outermost first
    number, call = -1, _NONE  # of the latest backward pass


@contextmanager
def segmented(segment_ids: Tensor | None) -> Iterator[None]:
    """Within this context every dsptorch layer of a model takes these segment ids, unless it is given others.

    That is how documents are packed into the rows of a model's input. The rest of the model must keep them apart
    by itself: attention by its mask, say. Models with inserted layers read the padding from their own attention
    mask; see `insert`. If the model has activation checkpoints, its backward pass belongs into the context too.

    Args:
        segment_ids: Which signal of its row each sample belongs to, (batch, time), integers; -1 is padding. None:
            each row is one signal, whatever a mask says.

    Example:
        >>> from torch import nn
        >>> from dsptorch import FIR, segmented
        >>> model = nn.Sequential(nn.Linear(4, 4), FIR(4, 3, init="lowpass"))
        >>> first, second = torch.randn(1, 5, 4), torch.randn(1, 7, 4)
        >>> with segmented(torch.tensor([[0] * 5 + [1] * 7])):
        ...     y = model(torch.cat([first, second], 1))
        >>> torch.allclose(y, torch.cat([model(first), model(second)], 1), atol=1e-6)
        True
    """
    call = Call(segment_ids, explicit=True)
    before, opened = enter_call(call), _Backward.opened
    _Backward.opened = (*opened, call)
    try:
        yield
    finally:
        enter_call(before)
        _Backward.opened = opened


def current_call() -> Call:
    """Return the context of the call in which a layer runs: a forward pass, or a checkpoint's in a backward pass."""
    if torch.compiler.is_compiling() or _here.call is not _NONE:
        return _here.call
    number = torch._C._current_graph_task_id()
    if number == -1:
        return _NONE
    if number == _Backward.number:
        return _Backward.call
    return _Backward.opened[-1] if _Backward.opened else _NONE


def enter_call(call: Call) -> Call:
    """Make this the context of this thread, and return the one before."""
    before = _here.call
    _here.call = call
    return before


def remember_in_backward(output: Any, call: Call) -> None:
    """Restore the context of a call in the backward pass from its output, before anything is computed there."""

    def begin(_: Any) -> None:
        _Backward.number, _Backward.call = torch._C._current_graph_task_id(), call

    for leaf in tree_leaves(output):
        if isinstance(leaf, Tensor) and leaf.grad_fn is not None:
            leaf.grad_fn.register_prehook(begin)
