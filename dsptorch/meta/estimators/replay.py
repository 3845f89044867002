"""Batches that can be drawn again, so that hyperparameters are compared on the same batches."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Generic, TypeVar

__all__ = ["Replay", "Tape"]

T = TypeVar("T")


class Tape:
    """The batches drawn from every Replay in a block, and the position up to which they were drawn again."""

    def __init__(self) -> None:
        self._drawn: dict[Replay[Any], list[Any]] = {}
        self._next: dict[Replay[Any], int] = {}

    def rewind(self) -> None:
        """Go back to the start: the next draws repeat the first ones."""
        self._next.clear()

    def draw(self, source: "Replay[T]") -> T:
        """Return the next batch of a source: from the tape until it ends, then from the source."""
        drawn = self._drawn.setdefault(source, [])
        position = self._next.get(source, 0)
        if position == len(drawn):
            drawn.append(next(source.iterator))
        self._next[source] = position + 1
        batch: T = drawn[position]
        return batch


_TAPE: ContextVar[Tape | None] = ContextVar("dsptorch_tape", default=None)


@contextmanager
def taping() -> Iterator[Tape]:
    """Record all batches drawn from Replays in this block, for repetition."""
    tape = Tape()
    token = _TAPE.set(tape)
    try:
        yield tape
    finally:
        _TAPE.reset(token)


class Replay(Generic[T]):
    """Wrap an iterator of batches, so that an evolution strategy can draw the same batches again.

    Outside a meta-update it acts as the iterator. A loss that draws with torch's global generator needs no Replay,
    because that generator is seeded for each candidate.

    Args:
        batches: An iterable of batches, usually endless; at its end, `StopIteration` reaches the caller.

    Example:
        >>> val_data = Replay(iter([1, 2, 3]))
        >>> next(val_data)
        1
    """

    def __init__(self, batches: Iterable[T]) -> None:
        self.iterator = iter(batches)

    def __iter__(self) -> "Replay[T]":
        return self

    def __next__(self) -> T:
        tape = _TAPE.get()
        return next(self.iterator) if tape is None else tape.draw(self)
