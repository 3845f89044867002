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
        ids: The mask as segment ids: 0 is real, -1 is padding, larger numbers are further documents.
        source: The argument and the module that received it, for errors.
        doubt: The reason why the mask may not describe the signal of a layer, as the end of a sentence that begins with
            the source; empty if the mask does describe it.
        several: Whether the reason is that the module takes several signals.
    """

    ids: Tensor
    source: str
    doubt: str = ""
    several: bool = False

    def of(self, sizes: tuple[int, ...], layer: str) -> Tensor | None:
        """Return the segment ids of a signal; None if nothing is padded.

        Args:
            sizes: The batch and the time of the signal.
            layer: The layer that asks, for errors.

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
        segment_ids: The ids of the input, (batch, time), if they are explicit; None if each row is one signal.
        explicit: Whether the ids are given by the user or by the position of a layer, so that masks are ignored.
        has_cache: Whether the model continues from a cache; None if none of its modules takes a cache.
        mask: The padding mask of the signal in the innermost module; None if nothing is padded.
        signals: The signals that this module was called with, each with its mask.
        given: The masks that rules read from the model's arguments, each with its rule.
        backward: Autograd's number of the backward pass in which the call was entered; -1 outside a backward pass,
            None if the call has not been entered.
    """

    segment_ids: Tensor | None = None
    explicit: bool = False
    has_cache: bool | None = None
    mask: Mask | None = None
    signals: tuple[tuple[Tensor, Mask | None], ...] = ()
    given: tuple[tuple[object, Mask | None], ...] = ()
    backward: int | None = None

    def ids_of(self, x: Tensor, layer: str, sizes: tuple[int, ...] | None = None) -> Tensor | None:
        """Return the segment ids of a signal within this call.

        Args:
            x: The signal, as passed to the module that holds the layer.
            layer: The layer, for errors.
            sizes: The batch and time of the signal; None for its first two dimensions.

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
        """Return the call for an inner layer whose segment ids are known."""
        return self.within(mask=None if ids is None else Mask(ids, "the mask of its place"), signals=())

    def within(self, **changes: Any) -> "Call":
        """Return a nested call with some attributes changed, not yet entered."""
        return Call(*self)._replace(backward=None, **changes)


class _Given(Call):
    """The call of `segmented`, which may be open in another coroutine of this thread."""

    __slots__ = ()


_NONE = Call(backward=-1)
_segments = Opened("dsptorch.segmented")


class _Here(threading.local):
    """The most recently entered call of this thread. Dynamo can trace it, unlike a ContextVar."""

    def __init__(self) -> None:  # Dynamo guards the existence of the attribute
        self.call = _NONE


_here = _Here()


# Checkpoints run layers again in the backward pass, which autograd may run in another thread.
_remembered: dict[int, Call] = {}
"""The call whose backward pass is in progress, by autograd's number of the pass."""
_KEY = "dsptorch.call"
"""Where autograd's own threads find the thread that called `backward`, and the call that is open there."""


@contextmanager
def segmented(segment_ids: Tensor | None) -> Iterator[None]:
    """Within this context every dsptorch layer of a model uses these segment ids, unless it is given others.

    Use it to pack several documents into a row of a model's input. The rest of the model must keep the documents
    apart by itself, for example attention by its mask. Models with inserted layers read the padding from their own
    attention mask; see `insert`. If the model uses activation checkpointing, run its backward pass in the context too.

    Args:
        segment_ids: For each sample, the integer id of its signal within the row, (batch, time); -1 is padding. None
            means that each row is one signal, even if a mask says otherwise.

    Raises:
        ValueError: On exit, if another such context was entered inside it and is still open.

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
    if torch.compiler.is_compiling():  # compiled code cannot await
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
    if call is _NONE or type(call) is _Given:  # it may belong to another coroutine
        opened = _segments()
        call = opened[-1] if opened else _NONE
    number = torch._C._current_graph_task_id()
    return call if number in (-1, call.backward) else _call_in_backward(number, call)


def enter_call(call: Call) -> Call:
    """Make a call the context of this thread, and return the previous context."""
    before: Call = _here.call
    if call.backward is None and not torch.compiler.is_compiling():
        call = call._replace(backward=torch._C._current_graph_task_id())
    _here.call = call
    return before


def remember_in_backward(output: Any, call: Call) -> None:
    """Arrange that the backward pass restores the context of a call at its output, before it computes anything."""

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
    """The call that a backward pass runs again: the remembered one, else the one in which `backward` was called."""
    remembered = _remembered.get(number)
    if remembered is not None:
        _tell_autograd(remembered, None)  # for nested passes, which reentrant checkpoints start
        return remembered
    told, thread = torch._C._get_obj_in_tls(_KEY) if torch._C._is_key_in_tls(_KEY) else (_NONE, None)
    if thread is None or (here is _NONE and thread != threading.get_ident()):
        return here if told is _NONE else told
    return here


def _tell_autograd(call: Call, thread: int | None) -> None:
    """Make the contexts open here known to the threads in which autograd may run backward passes started here."""
    torch._C._stash_obj_in_tls(_KEY, (call, thread))
