"""The contexts that are open around a call, in its own thread or coroutine only."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch

__all__ = ["Opened"]


class _Entry:
    """A value, and whether its context has been left, in any thread."""

    def __init__(self, value: Any) -> None:
        self.value, self.left = value, False


class _Thread(threading.local):
    """The entries of this thread. Dynamo traces it, as it does not a ContextVar."""

    def __init__(self) -> None:  # for Dynamo, which guards that the attribute is there
        self.entries: tuple[_Entry, ...] = ()


class Opened:
    """The open contexts of one kind.

    Contexts may be left in any order, as with generators. A new thread has no open contexts. A coroutine, and a thread
    to which `asyncio.to_thread` copies the context, start with the contexts of their creator. Compiled code sees the
    contexts of its thread.

    Args:
        name: A name for debugging.

    Example:
        >>> opened = Opened("example")
        >>> with opened.during(1), opened.during(2):
        ...     opened()
        (1, 2)
        >>> opened()
        ()
    """

    def __init__(self, name: str) -> None:
        self._here: ContextVar[tuple[_Entry, ...]] = ContextVar(name, default=())
        self._thread = _Thread()

    def __call__(self) -> tuple[Any, ...]:
        """The values of the open contexts, outermost first."""
        if torch.compiler.is_compiling():
            return self.in_thread()
        entries = self._here.get()
        return tuple([e.value for e in entries if not e.left]) if entries else ()

    def in_thread(self) -> tuple[Any, ...]:
        """The values of all coroutines of this thread."""
        return tuple([e.value for e in self._thread.entries if not e.left])

    @contextmanager
    def during(self, value: Any) -> Iterator[None]:
        """Open a context with a value for the duration of a block."""
        entry = _Entry(value)
        self._put((*self._here.get(), entry), (*self._thread.entries, entry))
        try:
            yield
        finally:
            entry.left = True
            self._put(self._here.get(), self._thread.entries)

    def _put(self, here: tuple[_Entry, ...], thread: tuple[_Entry, ...]) -> None:
        self._here.set(tuple(e for e in here if not e.left))
        self._thread.entries = tuple(e for e in thread if not e.left)
