"""Models whose layers stream, and which hold something else that does not remember its past, or does."""

import torch
import torch.nn.functional as F
from torch import nn

from dsptorch import FIR, insert
from tests.testing.broken_layers import WIDTH


class Attention(nn.Module):
    """Causal attention on top of what `past` holds, a list."""

    def __init__(self):
        super().__init__()
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x, past):
        q, k, v = self.qkv(x).chunk(3, 2)
        past[:] = (k, v) if not past else (torch.cat([past[0], k], 1), torch.cat([past[1], v], 1))
        time = past[0].shape[1]
        sees = torch.ones(q.shape[1], time).tril(time - q.shape[1]).bool()
        return self.out(F.scaled_dot_product_attention(q, *past, attn_mask=sees))


class Attends(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.attention, self.head = nn.Linear(WIDTH, WIDTH), Attention(), nn.Linear(WIDTH, WIDTH)
        insert(self, "first", lambda _: FIR(WIDTH, 3, init="lowpass"))
        self.double()

    def forward(self, x, past=None):
        return {
            "hidden": (x := self.first(x)),
            "y": self.head(x + self.attention(x, [] if past is None else past)),
        }


class Convolves(nn.Module):
    """A convolution padded on the left, which remembers the samples before a chunk, or not."""

    def __init__(self, remembers=False):
        super().__init__()
        self.filter, self.conv = FIR(WIDTH, 3, init="lowpass"), nn.Conv1d(WIDTH, WIDTH, 4)
        self.remembers, self.past = remembers, None
        self.double()

    def forward(self, x):
        x = self.filter(x).transpose(1, 2)
        past = x.new_zeros(len(x), WIDTH, 3) if self.past is None else self.past
        x = torch.cat([past, x], 2)
        if self.remembers:
            self.past = x[:, :, -3:]
        return self.conv(x).transpose(1, 2)


class Places(nn.Module):
    """Adds an embedding of the position, which counts on from call to call, or not."""

    def __init__(self, counts=False):
        super().__init__()
        self.filter, self.place, self.counts, self.position = FIR(WIDTH), nn.Embedding(64, WIDTH), counts, 0
        self.double()

    def forward(self, x):
        y = self.filter(x) + self.place(torch.arange(self.position, self.position + x.shape[1]))
        self.position += x.shape[1] * self.counts
        return y


class Centres(nn.Module):
    """Subtracts the mean of all samples that a call brings."""

    def forward(self, x):
        return x - x.mean(1, keepdim=True)


class Rounds(nn.Module):
    """Whole numbers, beside masked values that are huge and would hide any difference."""

    def __init__(self, part):
        super().__init__()
        self.part = part

    def forward(self, x):
        y = self.part(x)
        return {"masked": torch.cat([y, torch.full_like(y, -1e9)], 2), "best": (8 * y).round().long()}


def behind(layer):
    """A model in which a layer stands between others."""
    return nn.Sequential(nn.Linear(WIDTH, WIDTH), layer, nn.Linear(WIDTH, WIDTH)).double()
