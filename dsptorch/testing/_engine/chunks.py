"""The lengths of the chunks in which a signal is given."""

from collections.abc import Sequence
from typing import Any

import torch

from dsptorch.functional.validate import check_int


def random_chunks(total: int, generator: torch.Generator, empty: bool = True) -> list[int]:
    """4 to 8 random lengths that add up to a total, with or without empty ones."""
    pieces = int(torch.randint(4, 9, (), generator=generator))
    cuts = torch.randint(0, total + 1, (pieces - 1,), generator=generator).sort().values.tolist()
    if empty:
        cuts[1] = cuts[0]
    lengths = [stop - start for start, stop in zip([0, *cuts], [*cuts, total], strict=True)]
    return lengths if empty else [length for length in lengths if length]


def chunkings_of(
    time: int, chunkings: int | Sequence[Sequence[int]], empty: bool, seed: int
) -> list[Sequence[int]]:
    """The lengths of the chunks of each chunking: single samples, pairs, one chunk, and random ones; or those given.

    Raises:
        TypeError, ValueError: If chunkings are no number, and not lists of lengths that add up to the time.
    """
    if isinstance(chunkings, Sequence) and not isinstance(chunkings, str):
        if not chunkings or not all(_add_up(lengths, time) for lengths in chunkings):
            raise ValueError(
                f"chunkings must be a number, or lists of lengths that add up to {time} samples each, got {chunkings!r}"
            )
        return list(chunkings)
    check_int("chunkings", chunkings, least=0)
    generator = torch.Generator().manual_seed(seed)
    random = [random_chunks(time, generator, empty) for _ in range(chunkings)]
    pairs = [2] * (time // 2) + [1] * (time % 2)
    return [[1] * time, pairs, [0, time, 0] if empty else [time], [time - 1, 1], *random]


def _add_up(lengths: Any, time: int) -> bool:
    lists = isinstance(lengths, Sequence) and all(isinstance(n, int) and n >= 0 for n in lengths)
    return lists and sum(lengths) == time


def brief_lengths(lengths: Sequence[int]) -> str:
    """The first lengths of chunks."""
    some = ", ".join(map(str, lengths[:8]))
    return f"[{some}{', ...' if len(lengths) > 8 else ''}]"
