"""Honest models that a careless check accuses: they keep a state, round, overflow, or have other outputs."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Gamma

from tests.testing.honest import TIME, WIDTH
from tests.testing.leak import Made


class Cache(nn.Module):
    """Attends to what it was given in earlier calls, too."""

    def __init__(self):
        super().__init__()
        self.qkv, self.cache = nn.Linear(WIDTH, 3 * WIDTH), None

    def forward(self, x):
        q, *kv = self.qkv(x).chunk(3, -1)
        k, v = kv if self.cache is None else (torch.cat(pair, 1) for pair in zip(self.cache, kv, strict=True))
        self.cache = (k, v)
        seen = torch.ones(q.shape[1], k.shape[1], dtype=torch.bool).tril(k.shape[1] - q.shape[1])
        return F.scaled_dot_product_attention(q, k, v, attn_mask=seen)


class Counts(nn.Module):
    """Each call is louder than the last."""

    def __init__(self):
        super().__init__()
        self.heard = []
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        self.heard.append(x)
        return x * self.calls * len(self.heard)


class DrawsOnce(nn.Module):
    """Its gains are drawn in its first call, and kept."""

    gains = None

    def forward(self, x):
        if self.gains is None:
            self.gains = torch.randn(WIDTH)
        return x * self.gains


class Codebook(nn.Module):
    """Moves towards what it has quantised, in train mode, for the next call."""

    def __init__(self):
        super().__init__()
        self.register_buffer("codes", torch.randn(16, WIDTH))

    def forward(self, x):
        index = torch.cdist(x, self.codes.expand(len(x), -1, -1)).argmin(-1)
        quantised = self.codes[index]
        if self.training:
            self.codes.mul_(0.99).add_(0.01 * x.detach().mean((0, 1)))
        return quantised, index


class Experts(nn.Module):
    """The experts take different numbers of samples with each input, and round accordingly."""

    def __init__(self):
        super().__init__()
        self.router = nn.Linear(WIDTH, 4)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(WIDTH, 64), nn.GELU(), nn.Linear(64, WIDTH)) for _ in range(4)
        )

    def forward(self, x):
        weight, chosen = self.router(x).softmax(-1).max(-1)
        y = torch.zeros_like(x)
        for i, expert in enumerate(self.experts):
            mine = chosen == i
            y[mine] = weight[mine].unsqueeze(-1) * expert(x[mine])
        return x + y


class Energy(nn.Module):
    """The slope of an energy; it needs gradients inside."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(WIDTH, 16)

    def forward(self, x):
        x = x.detach().requires_grad_()
        return torch.autograd.grad(F.softplus(self.inner(x)).sum(), x)[0].cumsum(1)


def masked_by_a_hook():
    model = Made(lambda model, x: model.conv(x.mT).mT, conv=nn.Conv1d(WIDTH, WIDTH, 3, padding=1))
    mask = torch.tensor([1.0, 1, 0])
    model.conv.weight.data.mul_(mask)
    model.conv.weight.register_hook(lambda gradient: gradient * mask)
    return model


def gain(function, value):
    return lambda: Made(
        lambda model, x: x * function(model.gain), gain=nn.Parameter(torch.full((WIDTH,), value))
    )


def exponentials(model, x):
    """Loud inputs overflow, and 0 * inf is NaN behind the mask."""
    q, k, v = model.qkv(x).chunk(3, -1)
    weights = (q @ k.mT / 3).exp() * torch.ones(x.shape[1], x.shape[1]).tril()
    return weights / weights.sum(-1, keepdim=True) @ v


def linear():
    return nn.Linear(WIDTH, WIDTH)


def padded(x):
    return F.pad(x.mT, (2, 0))


SUSPECTS = {
    "convolution masked by a gradient hook": masked_by_a_hook,
    "square root of a small parameter": gain(torch.sqrt, 1e-4),
    "square root of a parameter of 0": gain(torch.sqrt, 0.0),
    "logarithm of a small parameter": gain(torch.log, 1e-6),
    "logarithm of 1 - a parameter near 1": gain(lambda p: torch.log(1 - p), 0.95),
    "distribution that refuses negative parameters": gain(
        lambda p: Gamma(p, torch.ones(()), validate_args=True).mean, 1e-4
    ),
    "lazy layers": lambda: nn.Sequential(nn.LazyLinear(5), nn.ReLU(), nn.LazyLinear(3)),
    "cache in an attribute": Cache,
    "counters in a buffer and a list": Counts,
    "gains that are drawn once": DrawsOnce,
    "codebook that moves": Codebook,
    "mixture of experts": Experts,
    "mixture of experts beside huge channels": lambda: Made(
        lambda m, x: torch.cat([m.experts(x), torch.full_like(x, -1e9), 0 * x], -1), experts=Experts()
    ),
    "derivative of an energy": Energy,
    "exponentials that overflow behind a mask": lambda: Made(exponentials, qkv=nn.Linear(WIDTH, 3 * WIDTH)),
    "writes into its input": lambda: lambda x: x.mul_(2).add_(1),
    "numpy inside": lambda: Made(lambda m, x: torch.from_numpy(m.inner(x).numpy()).cumsum(1), inner=linear()),
    "mixup in train mode": lambda: Made(
        lambda m, x: m.inner(x + x[torch.randperm(len(x))] if m.training else x), inner=linear()
    ),
    "dropout that is always on": lambda: Made(lambda m, x: F.dropout(m.inner(x), 0.3, True), inner=linear()),
    "spectral norm": lambda: Made(
        lambda m, x: m.conv(padded(x)).mT,
        conv=nn.utils.parametrizations.spectral_norm(nn.Conv1d(WIDTH, WIDTH, 3)),
    ),
    "pooled vector of as many channels as times": lambda: (
        lambda x: (x.mean(1) @ torch.ones(WIDTH, TIME), x.cumsum(1))
    ),
    "cache of as many samples as times": lambda: (
        lambda x: (x.cumsum(1), F.pad(x, (0, 0, TIME, 0))[:, -TIME:])
    ),
    "cache of as many heads as times": lambda: lambda x: (x.cumsum(1), x.unsqueeze(1).repeat(1, TIME, 1, 1)),
    "attention weights": lambda: Made(
        lambda m, x: m.inner(x, x, x, attn_mask=torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)),
        inner=nn.MultiheadAttention(WIDTH, 2, batch_first=True),
    ),
    "whole numbers, truth values and a complex output": lambda: (
        lambda x: (
            x.argmax(-1),
            x > 0,
            torch.exp(1j * x).cumsum(1),
        )
    ),
    "sparse output": lambda: lambda x: x.to_sparse(),
    "nested output": lambda: lambda x: torch.nested.nested_tensor(list(x)),
    "outputs that grow": lambda: lambda x: (x * 2.0 ** torch.arange(x.shape[1]).unsqueeze(-1)).cumsum(1),
    "outputs near 1e-40": lambda: lambda x: 1e-40 * x.cumsum(1),
    "padded to a multiple of 7": lambda: Made(
        lambda m, x: m.conv(padded(F.pad(x, (0, 0, 0, -x.shape[1] % 7))))[..., : x.shape[1]].mT,
        conv=nn.Conv1d(WIDTH, WIDTH, 3),
    ),
    "a length that is fixed": lambda: Made(
        lambda m, x: (m.weight.tril() @ x, m.weight.tril() @ x), weight=nn.Parameter(torch.randn(TIME, TIME))
    ),
}
