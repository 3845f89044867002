"""One use of the kernel for each way that it takes, and the same as one sum that autograd differentiates by itself."""

from typing import NamedTuple

import torch
from torch import Tensor

from dsptorch.functional import Segments, find_segments, lptv_filter
from tests.oracles import runs


class Kind(NamedTuple):
    """What is filtered: `ids` of the history and the chunk after it, if rows hold several signals."""

    period: int
    lags: tuple[int, ...]
    width: int = 2
    history: int = 0
    ids: tuple[tuple[int, ...], ...] | None = None
    per_row: bool = False

    def filter(self, x: Tensor, weight: Tensor) -> Tensor:
        """By the library."""
        segments = (
            None if self.ids is None else chunk_segments(torch.tensor(self.ids)[: len(x)], self.history)
        )
        return lptv_filter(x, weight, self.lags, history=self.history, segments=segments)

    def dense(self, x: Tensor, weight: Tensor) -> Tensor:
        """By the definition: sum over i, j, p of meets[b, t, i, j] * x[b, j] * at[b, t, p] * w[b, p, i]."""
        batch, length = x.shape[0], x.shape[1]
        ids = (
            torch.zeros(batch, length, dtype=torch.int64)
            if self.ids is None
            else torch.tensor(self.ids)[:batch]
        )
        meets = torch.zeros(batch, length, len(self.lags), length, dtype=x.dtype)
        at = torch.zeros(batch, length, self.period, dtype=x.dtype)
        for row, start, stop in runs(ids):
            for t in range(start, stop):
                # Without segments the first output is at phase 0, whatever came before.
                at[row, t, (t - (self.history if self.ids is None else start)) % self.period] = 1
                for i, lag in enumerate(self.lags):
                    if start <= t - lag < stop:
                        meets[row, t, i, t - lag] = 1
        weight = (weight if self.per_row else weight.unsqueeze(0)).expand(batch, -1, -1, x.shape[2])
        y = torch.einsum("btij,bjc,btp,bpic->btc", meets, x, at, weight)
        return y[:, self.history :]

    def inputs(self, time: int = 5, batch: int = 2, requires_grad: bool = True) -> tuple[Tensor, Tensor]:
        """A signal and weights, random."""
        time = time + self.history if self.ids is None else len(self.ids[0])
        shape = (batch,) * self.per_row + (self.period, len(self.lags), self.width)
        x = torch.randn(batch, time, 2, dtype=torch.float64, requires_grad=requires_grad)
        return x, torch.randn(shape, dtype=torch.float64, requires_grad=requires_grad)


def chunk_segments(ids: Tensor, history: int) -> Segments:
    """The segments of a chunk after its history."""
    before = find_segments(ids[:, :history])
    return find_segments(ids[:, history:], before.next_position, before.last)


_IDS = ((0, 0, 0, 1, 1, 1), (2, 3, 3, 3, 3, -1))
KINDS = {
    "plain": Kind(1, (0, 1, 2)),
    "periodic": Kind(3, (0, 1, 4)),
    "lookahead": Kind(2, (-3, -1, 0, 2)),
    "shared weights": Kind(3, (-1, 0, 2), width=1),
    "history": Kind(2, (-1, 0, 3), history=3),
    "less history than taps": Kind(3, (0, 1, 4), history=2),
    "one sample": Kind(1, (0, 1, 2), history=4, ids=((0, 0, 0, 1, 1), (0, 0, 0, 0, 0))),
    "rows": Kind(2, (-1, 0, 2), per_row=True),
    "rows, history": Kind(3, (0, 1, 3), width=1, history=3, per_row=True),
    "segments": Kind(1, (-1, 0, 2), ids=_IDS),
    "segments, periodic": Kind(2, (-2, 0, 1), ids=_IDS),
    "segments, history": Kind(3, (-1, 0, 1, 3), width=1, history=2, ids=_IDS),
}
