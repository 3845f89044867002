"""A small net, and torch's optimizers beside the rules that stand for them."""

import torch
from torch import nn

from dsptorch import BoundedHyperparam
from dsptorch.meta import AdamRule, MetaController, SGDRule

LR, DECAY = 0.03, 0.1
TINY = 1e-12  # an eps so small that it is the same inside the root and outside
BETAS = (0.8, 0.95)

# name -> the rule of a learning rate, the optimizer, its arguments but for that
OPTIMIZERS = {
    "sgd": (lambda lr: SGDRule(lr, weight_decay=DECAY), torch.optim.SGD, {}),
    "momentum": (lambda lr: SGDRule(lr, 0.9, DECAY), torch.optim.SGD, {"momentum": 0.9}),
    "adam": (
        lambda lr: AdamRule(lr, BETAS, TINY, DECAY),
        torch.optim.AdamW,
        {"betas": BETAS, "eps": TINY},
    ),
}


class Net(nn.Module):
    """Weights that decay, a bias that does not, losses that are not quadratic, a learning rate to learn."""

    def __init__(self, dtype=torch.float64):
        super().__init__()
        self.layer = nn.Linear(3, 2, dtype=dtype)
        self.rate = BoundedHyperparam(LR, LR / 10, LR * 10, log=True, dtype=torch.float64)
        self.x, self.x_val = torch.randn(2, 6, 3, dtype=dtype)

    def forward(self):
        """The training loss."""
        return (self.layer(self.x) - 1).cosh().log().sum()

    def val_loss(self):
        return (self.layer(self.x_val) + 1).cosh().log().sum()

    def weights(self):
        return {f"layer.{name}": p.detach().clone() for name, p in self.layer.named_parameters()}


LOSSES = {"train_loss": lambda net: net(), "val_loss": lambda net: net.val_loss()}


def optimizer_of(net, name, lr=LR):
    """The real optimizer, of the groups that a controller gives."""
    _, kind, arguments = OPTIMIZERS[name]
    return kind(MetaController(net).inner_param_groups(weight_decay=DECAY), lr=lr, **arguments)


def train(net, optimizer, steps):
    """So many steps of it."""
    for _ in range(steps):
        optimizer.zero_grad()
        net().backward()
        optimizer.step()


def started(name, before, dtype=torch.float64):
    """A net and its optimizer after so many steps."""
    net = Net(dtype)
    optimizer = optimizer_of(net, name)
    train(net, optimizer, before)
    return net, optimizer
