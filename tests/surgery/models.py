"""Small models that know nothing of signal processing, and what surgery must leave as it was."""

import pickle

import torch
from torch import nn

from dsptorch import FIR
from dsptorch.testing._engine.run import output_of

WIDTH = 4


def draw(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def lag(_=None):
    """A layer that mixes samples, the same one each time."""
    return FIR(WIDTH, 3, init=draw(3, WIDTH, seed=0))


class Sublayer(nn.Module):
    """Stream in, stream out."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.mix = nn.Linear(WIDTH, WIDTH)

    def forward(self, x, scale=1.0):
        return x + scale * torch.tanh(self.mix(self.norm(x)))


class Recurrent(nn.Module):
    """Holds a module that returns a tuple."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(WIDTH, WIDTH, batch_first=True)

    def forward(self, x):
        return self.gru(x)[0]


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.attn = Sublayer()
        self.mlp = Sublayer()

    def forward(self, x):
        return self.mlp(x=self.attn(x), scale=0.5)


class Model(nn.Module):
    """Blocks, called by keyword in places, with hooks of its own."""

    def __init__(self, depth=3):
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(depth))
        self.recurrent = Recurrent()
        self.head = nn.Linear(WIDTH, WIDTH)
        self.blocks[0].register_forward_hook(_hook)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(self.recurrent(x))


def _hook(module, args, output):
    return output + 1


class Around(nn.Module):
    """A module `inner`, and nothing else."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x)


def small(forward, **attributes):
    """A module with these attributes and this forward."""
    module = type("Small", (nn.Module,), {"forward": forward})()
    for name, value in attributes.items():
        setattr(module, name, value)
    return module


def model(**kwargs):
    torch.manual_seed(0)
    return Model(**kwargs)


def through_pickle(m):
    return pickle.loads(pickle.dumps(m))  # noqa: S301


def snapshot(module, x=None):
    """Everything that surgery must not change: names, numbers, hooks, attributes, modes, what it computes."""
    output = output_of(
        module, draw(2, 5, WIDTH) if x is None else x
    ).detach()  # a first call may set up things
    return {
        "output": output,
        "repr": repr(module),
        "state": {name: value.clone() for name, value in module.state_dict().items()},
        "parts": [
            (name, id(m), type(m), m.training, _identities(vars(m))) for name, m in module.named_modules()
        ],
    }


def _identities(attributes):
    plain = (int, float, str, type(None))
    return {
        key: value
        if isinstance(value, plain)
        else [(name, id(part)) for name, part in value.items()]
        if isinstance(value, dict)
        else id(value)
        for key, value in attributes.items()
    }


def check_unchanged(module, before, x=None):
    after = snapshot(module, x)
    assert (after["repr"], after["parts"]) == (before["repr"], before["parts"])
    assert after["state"].keys() == before["state"].keys()
    assert all(torch.equal(after["state"][name], value) for name, value in before["state"].items())
    assert torch.equal(after["output"], before["output"])
