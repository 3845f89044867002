"""Small models that know nothing of signal processing."""

import torch
from torch import nn

WIDTH = 4


class Sublayer(nn.Module):
    """Stream in, stream out."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.mix = nn.Linear(WIDTH, WIDTH)

    def forward(self, x, scale=1.0):
        return x + scale * torch.tanh(self.mix(self.norm(x)))


class Recurrent(nn.Module):
    """Returns a tuple, as nn.GRU does."""

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


def model(**kwargs):
    torch.manual_seed(0)
    return Model(**kwargs)


def snapshot(module):
    """Everything that surgery must not change: names, numbers, hooks, attributes, modes."""
    return {
        "repr": repr(module),
        "state": {name: value.clone() for name, value in module.state_dict().items()},
        "modules": [(name, id(m), type(m), m.training) for name, m in module.named_modules()],
        "attributes": [sorted(vars(m)) for m in module.modules()],
        "hooks": [
            [list(vars(m)[name].values()) for name in sorted(vars(m)) if name.endswith("hooks")]
            for m in module.modules()
        ],
        "flags": [
            [dict(vars(m)[name]) for name in sorted(vars(m)) if "hooks_" in name] for m in module.modules()
        ],
        "output": module(torch.linspace(-1, 1, 40).reshape(2, 5, WIDTH)).detach(),
    }


def check_unchanged(module, before):
    after = snapshot(module)
    assert after.keys() == before.keys()
    for name in ("repr", "modules", "attributes", "hooks", "flags"):
        assert after[name] == before[name], name
    assert after["state"].keys() == before["state"].keys()
    assert all(torch.equal(after["state"][name], value) for name, value in before["state"].items())
    assert torch.equal(after["output"], before["output"])
