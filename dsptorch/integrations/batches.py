"""An endless, resumable stream of batches from a finite loader."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch

__all__ = ["ResumableBatches"]

_END = object()


class ResumableBatches:
    """Iterate a loader repeatedly, each time in an order that depends only on a seed.

    A shuffling loader draws its order from torch's generator, which is seeded here and restored afterwards. So training
    and order do not affect each other, and a position in the stream is two numbers.

    Args:
        data: An iterable that can be iterated repeatedly, such as a DataLoader or a list; or an endless iterator.
        seed: The seed of the orders.

    Raises:
        TypeError: If it cannot be iterated.
        ValueError: When drawing, if there is no batch, or an iterator has ended.

    Example:
        >>> batches = ResumableBatches([1, 2, 3], seed=0)
        >>> [next(batches) for _ in range(5)], batches.state_dict()
        ([1, 2, 3, 1, 2], {'epoch': 1, 'drawn': 2})
    """

    def __init__(self, data: Iterable[Any], seed: int) -> None:
        if not isinstance(data, Iterable):
            raise TypeError(
                f"expected batches that can be iterated, got {type(data).__name__}; give a DataLoader or a list of them"
            )
        self._data, self._seed = data, seed
        self._epoch, self._drawn = 0, 0
        self._iterator: Iterator[Any] | None = None

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        batch = _END if self._iterator is None else next(self._iterator, _END)
        if batch is _END:
            if self._iterator is not None:
                self._epoch, self._drawn = self._epoch + 1, 0
            batch = self._begin()
        self._drawn += 1
        return batch

    def state_dict(self) -> dict[str, int]:
        """Return the number of finished passes through the loader, and the position in the present one."""
        return {"epoch": self._epoch, "drawn": self._drawn}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Resume from a `state_dict`, by drawing the batches of that epoch again."""
        self._epoch, self._drawn, self._iterator = state["epoch"], 0, None
        for _ in range(state["drawn"]):
            next(self)

    def _begin(self) -> Any:
        """Begin an epoch and return its first batch, with which a loader fixes its order."""
        before = torch.get_rng_state()
        try:
            torch.default_generator.manual_seed(self._seed + self._epoch)
            self._iterator = iter(self._data)
            batch = next(self._iterator, _END)
        finally:
            torch.set_rng_state(before)
        if batch is _END:
            raise ValueError(
                f"expected batches without an end, got {type(self._data).__name__} without a batch in epoch "
                f"{self._epoch}; give what can be iterated again and again, as a DataLoader"
            )
        return batch
