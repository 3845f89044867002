"""The gallery of leaks: models that see the future, or each other's rows. Each names the check that must catch it."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from tests.testing.gallery_hidden import HIDDEN
from tests.testing.leak import TIME, WIDTH, Leak, ahead


def block_mean_and_hold(x, size=4):
    mean = F.avg_pool1d(x.transpose(1, 2), size, ceil_mode=True)
    return F.interpolate(mean, scale_factor=float(size)).transpose(1, 2)[:, : x.shape[1]]


def linear_interpolation(x, factor=4):
    held = F.pad(x, (0, 0, 0, factor)).transpose(1, 2)[..., ::factor]
    t = torch.arange(x.shape[1])
    weight = (t % factor) / factor
    return (held[..., t // factor] * (1 - weight) + held[..., t // factor + 1] * weight).transpose(1, 2)


def fft_filter(x):
    """A causal filter by a padded FFT: rounding carries the future into the past."""
    n = 2 * x.shape[1]
    taps = torch.fft.rfft(0.5 ** torch.arange(8.0), n)[:, None]
    return torch.fft.irfft(torch.fft.rfft(x, n, dim=1) * taps, n, dim=1)[:, : x.shape[1]]


def lfo_normalised_by_length(x):
    """The oscillator makes two turns over the stretch that is not silent: its phase knows the length."""
    length = (x != 0).any(-1).sum(1).clamp(min=1)
    phase = torch.arange(x.shape[1]) / length.unsqueeze(1)
    return x * (1 + 0.5 * torch.sin(4 * math.pi * phase)).unsqueeze(-1)


class SamePadding(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(WIDTH, WIDTH, 5, padding="same")

    def forward(self, x):
        return self.conv(x.transpose(1, 2)).transpose(1, 2)


class GroupNormOverTime(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.GroupNorm(2, WIDTH)

    def forward(self, x):
        return self.norm(x.transpose(1, 2)).transpose(1, 2)


class PooledRouter(nn.Module):
    """Two experts, weighted by a router that has read the whole sequence."""

    def __init__(self):
        super().__init__()
        self.router = nn.Linear(WIDTH, 2)
        self.experts = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(2))

    def forward(self, x):
        weights = self.router(x.mean(1)).softmax(-1)
        return sum(weights[:, i, None, None] * f(x) for i, f in enumerate(self.experts))


class BatchStatistics(nn.Module):
    """Causal in eval mode; in train mode its statistics are of all times and rows."""

    def __init__(self, first_gain=1.0):
        super().__init__()
        self.norm = nn.BatchNorm1d(WIDTH)
        nn.init.constant_(self.norm.weight, first_gain)

    def forward(self, x):
        return x + self.norm(x.transpose(1, 2)).transpose(1, 2)


class ZeroGain(nn.Module):
    """A leaking branch behind a gain that starts at 0 (ReZero)."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.zeros(()))
        self.branch = SamePadding()

    def forward(self, x):
        return x + self.gain * self.branch(x)


class LayerScale(ZeroGain):
    """The same, behind a gain per channel that starts almost at 0."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.full((WIDTH,), 1e-7))


class LoRA(nn.Module):
    """A low-rank update of what reads the next sample; its B starts at 0."""

    def __init__(self):
        super().__init__()
        self.base = nn.Linear(WIDTH, WIDTH)
        self.a, self.b = nn.Parameter(torch.randn(2, WIDTH)), nn.Parameter(torch.zeros(WIDTH, 2))

    def forward(self, x):
        return self.base(x) + ahead(x) @ self.a.mT @ self.b.mT


class Attention(nn.Module):
    """Token ids in, logits out, one head."""

    def __init__(self, is_causal=False, vocab_size=11):
        super().__init__()
        self.embed = nn.Embedding(vocab_size, 8)
        self.qkv = nn.Linear(8, 24)
        self.head = nn.Linear(8, vocab_size)
        self.is_causal = is_causal

    def forward(self, ids):
        q, k, v = self.qkv(self.embed(ids)).unsqueeze(1).chunk(3, -1)
        return {"loss": None, "logits": self.head(self._mix(q, k, v).squeeze(1))}

    def _mix(self, q, k, v):
        return F.scaled_dot_product_attention(q, k, v, is_causal=self.is_causal)


class MaskOffByOne(Attention):
    """`triu(diagonal=2)`: it sees the next token."""

    def _mix(self, q, k, v):
        hidden = torch.ones(q.shape[-2], q.shape[-2], dtype=torch.bool).triu(2)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=~hidden)


class PrefixOfTheBatch(nn.Module):
    """A convolution over rows laid one after another: a row begins with what the last one ended with."""

    def forward(self, x):
        flat = x.reshape(1, -1, WIDTH)
        return (flat + F.pad(flat, (0, 0, 1, 0))[:, :-1]).reshape(x.shape)


def one_phase_of_sixteen(x):
    return x + (torch.arange(x.shape[1]) % 16 == 11).unsqueeze(-1) * ahead(x)


class OnePhaseBehindAZero(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return x + self.gain * (one_phase_of_sixteen(x) - x)


class ExpertCapacity(nn.Module):
    """Expert choice: an expert takes the k tokens of the sequence that score highest, in train mode alone."""

    def __init__(self):
        super().__init__()
        self.score, self.expert = nn.Linear(WIDTH, 1), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        score = self.score(x)
        if not self.training:
            return x + (score > 0) * self.expert(x)
        best = score.topk(x.shape[1] // 4, dim=1).values[:, -1:]
        return x + (score >= best) * self.expert(x)


LEAKS: dict[str, Leak] = {
    "block mean + hold": Leak(lambda: block_mean_and_hold, lookahead=3, says=r"t mod 4 in 0, 1, 2"),
    '"same" padding': Leak(SamePadding, lookahead=2, says=r"'conv' \(Conv1d\)"),
    "linear-interpolation upsampling": Leak(
        lambda: linear_interpolation, lookahead=3, says=r"t mod 4 in 1, 2, 3"
    ),
    "FFT filter": Leak(lambda: fft_filter),
    "GroupNorm over time": Leak(GroupNormOverTime, lookahead=TIME - 1, says=r"'norm' \(GroupNorm\)"),
    "normalised by the whole": Leak(lambda: lambda x: x / x.abs().amax(1, keepdim=True)),
    "LFO phase normalised by the length": Leak(lambda: lfo_normalised_by_length, says="by silence"),
    "router pooled over time": Leak(PooledRouter, lookahead=TIME - 1),
    "attention without a mask": Leak(Attention, vocab_size=11, lookahead=TIME - 1),
    "attention mask off by one": Leak(MaskOffByOne, vocab_size=11, lookahead=1),
    "leak at one phase of sixteen": Leak(lambda: one_phase_of_sixteen, lookahead=1, says=r"t mod 16 = 11"),
    "leak of relative size 1e-4": Leak(lambda: lambda x: x + 1e-4 * ahead(x), lookahead=1),
    "leak of the last sample alone": Leak(lambda: lambda x: x + x[:, -1:], lookahead=TIME - 1),
    "leak from 30 ahead": Leak(lambda: lambda x: x + ahead(x, 30), lookahead=30),
    "leak behind a threshold": Leak(lambda: lambda x: x + (ahead(x) > 10), lookahead=1),
    "leak of one channel of four": Leak(
        lambda: lambda x: x + torch.tensor([0.0, 0, 1, 0]) * ahead(x), lookahead=1
    ),
    "leak that turns to NaN": Leak(lambda: lambda x: torch.where(ahead(x) > 10, torch.nan, x), lookahead=1),
    "batch statistics": Leak(BatchStatistics, "train", lookahead=TIME - 1, says=r"'norm' \(BatchNorm1d\)"),
    "expert choice in train mode": Leak(ExpertCapacity, "train"),
    "zero-initialised gain": Leak(ZeroGain, "jitter", lookahead=2, says=r"'branch.conv' \(Conv1d\)"),
    "LayerScale of 1e-7": Leak(LayerScale, says="noise 1000 times as loud", lookahead=2),
    "LoRA, B = 0": Leak(LoRA, "jitter", lookahead=1),
    "zero-initialised gain, one phase of sixteen": Leak(
        OnePhaseBehindAZero, "jitter", lookahead=1, says="= 11"
    ),
    "batch statistics behind a zero gain": Leak(lambda: BatchStatistics(0.0), "jitter"),
    "rows laid one after another": Leak(PrefixOfTheBatch, "batch"),
    "normalised over the batch": Leak(lambda: lambda x: x - x.mean(0, keepdim=True), "batch"),
    "rows reversed": Leak(lambda: lambda x: x.flip(0), "batch"),
    **HIDDEN,
}
