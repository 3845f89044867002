"""Batches as pure functions of (seed, step): there is no position to save, lose or repeat.

The processes share out one global batch, so that a run sees the same bytes whatever their number.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

BYTES = 256
IGNORED = -1  # the target of padding, which no loss counts


def sample_batch(
    data: Tensor, *, context: int, batch_size: int, seed: int, step: int, rank: int = 0, ranks: int = 1
) -> tuple[Tensor, Tensor]:
    """Draw windows of `data`, and keep this rank's, every ranks-th of them.

    Shape:
        uint8 (N,) -> ids and next bytes, both int64 (batch_size / ranks, context).
    """
    rng = np.random.default_rng((seed, step, 0))
    starts = torch.from_numpy(rng.integers(len(data) - context, size=batch_size))[rank::ranks]
    windows = data[starts[:, None] + torch.arange(context + 1)].long()  # (B, T + 1)
    return windows[:, :-1], windows[:, 1:]


def seed_step(*, seed: int, step: int, rank: int) -> None:
    """Seed torch's own generators for one step, so that dropout too is a function of (seed, step, rank)."""
    torch.manual_seed(int(np.random.default_rng((seed, step, rank, 1)).integers(2**63)))


def sweep(
    data: Tensor, *, context: int, batch_size: int, rank: int = 0, ranks: int = 1
) -> Iterator[tuple[Tensor, Tensor]]:
    """Pass over the whole of `data` once, in windows side by side; every byte but the first is a target once.

    The end is padded (targets IGNORED), so that every batch has one shape and every rank the same number.
    """
    pad = -(len(data) - 1) % (context * batch_size * ranks)
    ids = F.pad(data[:-1], (0, pad)).view(-1, batch_size, context)  # (N,) -> (batches, B, T)
    targets = F.pad(data[1:].long(), (0, pad), value=IGNORED).view_as(ids)
    for i in range(rank, len(ids), ranks):
        yield ids[i].long(), targets[i]
