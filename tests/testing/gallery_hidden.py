"""Leaks that hide: beside huge outputs, in a phase or a last bit, in another output, in a mode or a batch size."""

import torch
from torch import nn

from tests.testing.leak import TIME, WIDTH, Leak, Made, ahead

LOWEST = torch.finfo(torch.float32).min
STEPS = torch.arange(TIME).unsqueeze(-1)


def centred(x):
    return x - x.mean(1, keepdim=True)


def padded_vocabulary(lowest):
    def run(model, ids):
        logits = model.head(centred(model.embed(ids)))
        logits[..., 8:] = lowest
        return logits

    return Made(run, embed=nn.Embedding(8, 8), head=nn.Linear(8, 11))


def masked_by_time(x):
    """At each time one channel of four is left."""
    return centred(x).masked_fill((STEPS[: x.shape[1]] + torch.arange(WIDTH)) % 4 != 0, LOWEST)


def growing(x):
    """Doubles from step to step; six quiet outputs leak."""
    steps = STEPS[: x.shape[1]]
    return x * 2.0**steps + (steps < 6) * ahead(x).clamp(-1, 1)


def squeezed(x):
    y = x.squeeze()
    return (y - y.mean(0) if y.dim() == 2 else y.cumsum(1)).view_as(x)


def squeezed_for_good(x):
    y = x.squeeze(0)
    return y - y.mean(0) if y.dim() == 2 else y.cumsum(1)


class InABuffer(nn.Module):
    """Returns a buffer that it writes into."""

    def __init__(self):
        super().__init__()
        self.register_buffer("out", torch.zeros(64, TIME, WIDTH))

    def forward(self, x):
        return self.out[: len(x), : x.shape[1]].copy_(ahead(x).detach())


class RunningMean(nn.Module):
    """In train mode its mean is of all that it has ever seen, the future too."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(WIDTH))

    def forward(self, x):
        if self.training:
            self.mean.lerp_(x.detach().mean((0, 1)), 0.1)
        return x - self.mean


def hooked(hook):
    model = Made(lambda model, x: x + model.gain * ahead(x), gain=nn.Parameter(torch.zeros(WIDTH)))
    model.gain.register_hook(hook)
    return model


def batch_gain():
    return Made(lambda model, x: x + model.gain * x.mean(0), gain=nn.Parameter(torch.zeros(())))


def exponentials(model, x):
    """A mask that multiplies, off by one; loud inputs overflow."""
    q, k, v = model.qkv(x).chunk(3, -1)
    weights = (q @ k.mT / 3).exp() * torch.ones(x.shape[1], x.shape[1]).tril(1)
    return weights / weights.sum(-1, keepdim=True) @ v


HIDDEN: dict[str, Leak] = {
    "logits beside a padded vocabulary of -1e9": Leak(lambda: padded_vocabulary(-1e9), vocab_size=8),
    "logits beside a padded vocabulary of finfo.min": Leak(lambda: padded_vocabulary(LOWEST), vocab_size=8),
    "beside a channel a billion times as loud": Leak(
        lambda: lambda x: torch.cat([x + 0.01 * ahead(x), 1e9 * x], -1), lookahead=1
    ),
    "beside one huge time step": Leak(
        lambda: lambda x: torch.where(STEPS[: x.shape[1]] == 3, 1e9, centred(x))
    ),
    "beside masks that change with time": Leak(lambda: masked_by_time),
    "beside a row a million times as loud": Leak(
        lambda: lambda x: x + 0.01 * ahead(x).clamp(-1, 1), lookahead=1, loudness=1e6
    ),
    "beside outputs that grow": Leak(lambda: growing, lookahead=1),
    "in a channel of 1e-12": Leak(lambda: lambda x: torch.cat([x, 1e-12 * ahead(x)], -1), lookahead=1),
    "in the phase of a complex output": Leak(
        lambda: lambda x: x * torch.exp(1j * x.mean((1, 2), keepdim=True))
    ),
    "of 1 in whole numbers above 2^24": Leak(lambda: lambda x: (ahead(x) > 0).long() + 2**30, lookahead=1),
    "of 1 in whole numbers above 2^53": Leak(lambda: lambda x: (ahead(x) > 0).long() + 2**60, lookahead=1),
    "in a sparse output": Leak(lambda: lambda x: ahead(x).to_sparse(), lookahead=1),
    "in a nested output": Leak(lambda: lambda x: torch.nested.nested_tensor(list(ahead(x))), lookahead=1),
    "in an output that shares a buffer": Leak(InABuffer, lookahead=1),
    "in logits behind a mask": Leak(
        lambda: lambda x: {"mask": torch.ones(x.shape[:2]), "logits": centred(x)},
        says="mask, logits it is logits",
    ),
    "in the second output": Leak(lambda: lambda x: (x, x.flip(1)), says=r"outputs \[0\], \[1\] it is \[1\]"),
    "in a hidden state": Leak(lambda: lambda x: {"y": x, "hidden": (x, ahead(x))}, says=r"it is hidden\[1\]"),
    "in a mask that multiplies": Leak(
        lambda: Made(exponentials, qkv=nn.Linear(WIDTH, 3 * WIDTH)), lookahead=1
    ),
    "at a batch of one row": Leak(
        lambda: lambda x: centred(x) if len(x) == 1 else x.cumsum(1), "one row", lookahead=TIME - 1
    ),
    "at a batch of one row that is loud": Leak(
        lambda: lambda x: x + (ahead(x) > 20) if len(x) == 1 else x, "one row", lookahead=1
    ),
    "in a batch of one row that is squeezed": Leak(lambda: squeezed, "one row", lookahead=TIME - 1),
    "in a batch of one row that stays squeezed": Leak(
        lambda: squeezed_for_good, "one row", lookahead=TIME - 1
    ),
    "while gradients are recorded": Leak(
        lambda: lambda x: x + ahead(x) if torch.is_grad_enabled() else x, "gradients", lookahead=1
    ),
    "in statistics that run on": Leak(RunningMean, "train", lookahead=TIME - 1),
    "zero-initialised gain with a hook that clips": Leak(
        lambda: hooked(lambda gradient: gradient.clamp(-1, 1)), "jitter", lookahead=1
    ),
    "zero-initialised gain, half of it frozen by a hook": Leak(
        lambda: hooked(lambda gradient: gradient * torch.tensor([0.0, 0, 1, 1])), "jitter", lookahead=1
    ),
    "the mean of the batch behind a zero gain": Leak(batch_gain, "jitter"),
    "the last row in all rows": Leak(lambda: lambda x: x + 0.1 * x[-1:], "batch"),
}
