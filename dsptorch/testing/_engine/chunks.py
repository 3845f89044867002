"""The lengths of the chunks in which a signal is given."""

from collections.abc import Sequence

import torch


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
        ValueError: If lengths that were given do not add up to the time.
    """
    if not isinstance(chunkings, int):
        if not chunkings or any(sum(lengths) != time or min(lengths) < 0 for lengths in chunkings):
            raise ValueError(f"chunkings must be lengths that add up to {time} samples, got {chunkings!r}")
        return list(chunkings)
    generator = torch.Generator().manual_seed(seed)
    random = [random_chunks(time, generator, empty) for _ in range(chunkings)]
    pairs = [2] * (time // 2) + [1] * (time % 2)
    return [[1] * time, pairs, [0, time, 0] if empty else [time], [time - 1, 1], *random]


def brief_lengths(lengths: Sequence[int]) -> str:
    """The first lengths of chunks."""
    some = ", ".join(map(str, lengths[:8]))
    return f"[{some}{', ...' if len(lengths) > 8 else ''}]"
