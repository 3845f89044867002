"""The context of a call (segment ids, cache) for layers inside models that pass them hidden states only."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from dsptorch.layers.opened import Opened

__all__ = ["Call", "Mask", "current_call", "enter_call", "remember_in_backward", "segmented"]


class Mask(NamedTuple):
    """A padding mask of a model's call.

    Attributes:
        ids: What the mask says, as segment ids: 0 is real, -1 is padding, larger numbers are further documents.
        source: The argument and the module that it was given to, for an error.
        doubt: Why it may not describe the signal of a layer, after the source in a sentence; empty if it does.
        several: Whether the doubt is that the module takes several signals.
    """

    ids: Tensor
    source: str
    doubt: str = ""
    several: bool = False

    def of(self, sizes: tuple[int, ...], layer: str) -> Tensor | None:
        """The segment ids of a signal; None if nothing is padded.

        Args:
            sizes: The batch and the time of the signal.
            layer: The layer that asks, for an error.

        Raises:
            ValueError: If something is padded, and nothing says that the mask describes this signal.
        """
        ids = self.ids
        if not self.doubt and ids.shape[1] == sizes[1] and ids.shape[0] in (1, sizes[0]):
            return ids.expand(sizes)
        doubt = (
            self.doubt or f"is of shape {tuple(ids.shape)}, and the layer's signal of {sizes} (batch, time)"
        )
        message = (
            f"{layer} cannot tell which samples are padding: {self.source} {doubt}; say which mask belongs to it by "
            "insert(..., mask=), by mask=False that none does, or give the ids by dsptorch.segmented"
        )
        if torch.compiler.is_compiling():
            torch._assert_async(~ids.any(), message)
        elif ids.any():
            raise ValueError(message)
        return None


class Call(NamedTuple):
    """A call of a model.

    Attributes:
        segment_ids: Those of its input, (batch, time), where they are explicit; None: each row is one signal.
        explicit: Whether the segment ids are given, by the user or by the place of a layer, and masks do not count.
        has_cache: Whether the model continues from a cache; None if no module of it takes one.
        mask: The padding mask of the signal that the innermost module works on; None: nothing is padded.
        signals: The signals that this module was called with, each with its own mask.
        given: The masks that rules read from the model's arguments, each with its rule.
        backward: The backward pass in which it was entered, by autograd's number; -1: in none. None: not yet.
    """

    segment_ids: Tensor | None = None
    explicit: bool = False
    has_cache: bool | None = None
    mask: Mask | None = None
    signals: tuple[tuple[Tensor, Mask | None], ...] = ()
    given: tuple[tuple[object, Mask | None], ...] = ()
    backward: int | None = None

    def ids_of(self, x: Tensor, layer: str, sizes: tuple[int, ...] | None = None) -> Tensor | None:
        """The segment ids of a signal within this call.

        Args:
            x: The signal, as the module that holds the layer was given it.
            layer: The layer, for an error.
            sizes: Its batch and time; None: its first two dimensions.

        Raises:
            ValueError: If something is padded, and nothing says that the mask describes this signal.
        """
        if self.explicit:
            return self.segment_ids
        mask = self.mask
        for signal, own in self.signals:
            if signal is x:
                mask = own
        return None if mask is None else mask.of(tuple(x.shape[:2]) if sizes is None else sizes, layer)

    def with_ids(self, ids: Tensor | None) -> "Call":
        """The call, for a layer within it whose segment ids are found."""
        return self.within(mask=None if ids is None else Mask(ids, "the mask of its place"), signals=())

    def within(self, **changes: Any) -> "Call":
        """A call within this one, not yet entered, with other attributes."""
        return Call(*self)._replace(backward=None, **changes)


class _Given(Call):
    """The call of `segmented`, which may be open in another coroutine of this thread."""

    __slots__ = ()


_NONE = Call(backward=-1)
_segments = Opened("dsptorch.segmented")


class _Here(threading.local):
    """The call that began last in this thread. Dynamo traces it, as it does not a ContextVar."""

    def __init__(self) -> None:  # for Dynamo, which guards that the attribute is there
        self.call = _NONE


_here = _Here()


# Checkpoints run layers again in the backward pass, for which autograd may take another thread.
_remembered: dict[int, Call] = {}
"""The call whose backward pass is in progress, by autograd's number of the pass."""
_KEY = "dsptorch.call"
"""Where autograd's own threads find the thread that called `backward`, and the call that is open there."""


@contextmanager
def segmented(segment_ids: Tensor | None) -> Iterator[None]:
    """Within this context every dsptorch layer of a model takes these segment ids, unless it is given others.

    That is how documents are packed into the rows of a model's input. The rest of the model must keep them apart
    by itself: attention by its mask, say. Models with inserted layers read the padding from their own attention
    mask; see `insert`. If the model has activation checkpoints, its backward pass belongs into the context too.

    Args:
        segment_ids: Which signal of its row each sample belongs to, (batch, time), integers; -1 is padding. None:
            each row is one signal, whatever a mask says.

    Raises:
        ValueError: At its end, if another such context began within it and has not ended.

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
    if torch.compiler.is_compiling():  # such code cannot await
        outer = enter_call(Call(segment_ids, explicit=True))
        try:
            yield
        finally:
            enter_call(outer)
        return
    before = enter_call(_Given(segment_ids, explicit=True))
    call = _here.call
    with _segments.during(call):
        _tell_autograd(call, threading.get_ident())
        overlaps = False
        try:
            yield
            opened = _segments()
            overlaps = any(c is call for c in opened) and opened[-1] is not call
        finally:
            still_open = [c for c in _segments.in_thread() if c is not call]
            if _here.call is call:
                left = type(before) is _Given and not any(c is before for c in still_open)
                _here.call = before if not left else still_open[-1] if still_open else _NONE
            _tell_autograd(still_open[-1] if still_open else _NONE, threading.get_ident())
    if overlaps:
        raise ValueError(
            "two contexts of dsptorch.segmented overlap, and neither is within the other, as happens to two generators "
            "that take turns; a layer cannot tell whose ids are meant, and may have used those of the other. Leave one "
            "before the other begins, or give the ids to the layers themselves"
        )


def current_call() -> Call:
    """Return the context of the call in which a layer runs: a forward pass, or a checkpoint's in a backward pass."""
    call: Call = _here.call
    if torch.compiler.is_compiling():
        return call
    if call is _NONE or type(call) is _Given:  # whose coroutine may be another
        opened = _segments()
        call = opened[-1] if opened else _NONE
    number = torch._C._current_graph_task_id()
    return call if number in (-1, call.backward) else _call_in_backward(number, call)


def enter_call(call: Call) -> Call:
    """Make this the context of this thread, and return the one before."""
    before: Call = _here.call
    if call.backward is None and not torch.compiler.is_compiling():
        call = call._replace(backward=torch._C._current_graph_task_id())
    _here.call = call
    return before


def remember_in_backward(output: Any, call: Call) -> None:
    """Restore the context of a call in the backward pass from its output, before anything is computed there."""

    def begin(_: Any) -> None:
        number = torch._C._current_graph_task_id()
        if number not in _remembered:
            engine: Any = torch.autograd.Variable._execution_engine
            engine.queue_callback(lambda: _remembered.pop(number, None))
        _remembered[number] = call

    for leaf in tree_leaves(output):
        if isinstance(leaf, Tensor) and leaf.grad_fn is not None:
            leaf.grad_fn.register_prehook(begin)


def _call_in_backward(number: int, here: Call) -> Call:
    """The call that a backward pass runs again: the one remembered, else that in which `backward` was called."""
    remembered = _remembered.get(number)
    if remembered is not None:
        _tell_autograd(remembered, None)  # for the passes within it, which reentrant checkpoints begin
        return remembered
    told, thread = torch._C._get_obj_in_tls(_KEY) if torch._C._is_key_in_tls(_KEY) else (_NONE, None)
    if thread is None or (here is _NONE and thread != threading.get_ident()):
        return here if told is _NONE else told
    return here


def _tell_autograd(call: Call, thread: int | None) -> None:
    """Say what is open here to the threads that autograd may take for backward passes that begin here."""
    torch._C._stash_obj_in_tls(_KEY, (call, thread))
