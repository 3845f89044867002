"""Tables of embeddings for the last bytes together, beside the embedding of each byte.

A table costs parameters and almost no time: a byte reads one row. So a smaller MLP and tables of n-grams are a faster
model of as many parameters.

References:
    T. Mikolov et al., Strategies for Training Large Scale Neural Network Language Models, 2011, section 5 (hashed
    n-grams).
    A. Pagnoni et al., Byte Latent Transformer: Patches Scale Better Than Tokens, 2024, section 3.2.1 (hashed n-gram
    embeddings of bytes).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .errors import UsageError
from .model import GPT

MULTIPLIER = 1_000_003  # a prime: the hash of n bytes is a polynomial in it


class NgramEmbedding(nn.Embedding):
    """An embedding of bytes, and beside it one of the last n bytes together, for several n.

        y[t] = weight[id[t]] + join_n tables_n[hash(id[t - n + 1], ..., id[t]) mod buckets]

    `join` is the sum of the tables, or puts them side by side, each in channels of its own. Before the first byte
    there are zeros, as for a filter at rest.

    Args:
        embedding: the embedding of bytes, whose weight is shared.
        orders: the n, each at least 2.
        buckets: rows of each table, which begin at zero.
        split: whether the tables stand side by side.

    Shape:
        ids: (B, T) int64 -> (B, T, D).
    """

    def __init__(self, embedding: nn.Embedding, orders: Sequence[int], buckets: int, *, split: bool) -> None:
        rows, d_model = embedding.weight.shape
        super().__init__(rows, d_model, _weight=embedding.weight.detach())
        self.weight = embedding.weight
        self.orders, self.buckets, self.split = tuple(orders), buckets, split
        width = d_model // len(self.orders) if split else d_model
        self.tables = nn.ModuleList(
            nn.Embedding(buckets, width, _weight=torch.zeros(buckets, width)) for _ in self.orders
        )

    def empty_cache(self) -> list[Tensor]:
        """Return what `forward` continues from: the last bytes, where there were some."""
        return []

    def forward(self, ids: Tensor, cache: list[Tensor] | None = None) -> Tensor:
        """Embed ids that follow those that the cache remembers."""
        past = max(self.orders) - 1
        before = cache.pop() if cache else ids.new_zeros(ids.shape[0], past)
        whole = torch.cat((before, ids), dim=1)  # (B, past + T)
        if cache is not None:
            cache.append(whole[:, whole.shape[1] - past :])
        rows = [
            table(ngram_hash(whole, n)[:, past - n + 1 :] % self.buckets)
            for n, table in zip(self.orders, self.tables, strict=True)
        ]  # each (B, T, D), or (B, T, D / orders)
        joined = torch.cat(rows, dim=-1) if self.split else torch.stack(rows).sum(0)
        return super().forward(ids) + joined


def ngram_hash(ids: Tensor, n: int) -> Tensor:
    """Return a number for every n bytes in a row: (B, T) int64 -> (B, T - n + 1) int64, at least 0."""
    windows = ids.unfold(1, n, 1)  # (B, T - n + 1, n)
    number = torch.zeros_like(windows[..., 0])
    for i in range(n):
        number = (number * MULTIPLIER + windows[..., i] + 1) & 0xFFFF_FFFF
    return number ^ (number >> 15)


def add_ngrams(
    model: GPT, orders: Sequence[int] = (2, 3, 4), buckets: int = 2048, *, split: bool = False
) -> None:
    """Put an `NgramEmbedding` in the place of the embedding; the head stays tied to the bytes' part.

    Raises:
        UsageError: If the orders or the number of buckets are not as above, or the width cannot be split.
    """
    if not orders or len(set(orders)) < len(orders) or not all(isinstance(n, int) and n >= 2 for n in orders):
        raise UsageError(
            f"arm.ngrams.orders: expected different integers >= 2, as in [2, 3], got {orders!r}; change it"
        )
    if not isinstance(buckets, int) or buckets < 1:
        raise UsageError(f"arm.ngrams.buckets: expected an integer >= 1, got {buckets!r}; change it")
    if split and model.config.d_model % len(orders):
        raise UsageError(
            f"arm.ngrams.split: expected a number of orders that divides model.d_model={model.config.d_model}, got "
            f"{len(orders)}; change either"
        )
    model.embed = NgramEmbedding(model.embed, orders, buckets, split=split)
