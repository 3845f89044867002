"""What the tests of `bind` bind: a module that we do not own, and its equation."""

import torch
from torch import nn

from dsptorch import BoundedHyperparam
from tests.surgery.models import WIDTH, draw

CHILD = "temperature_hyperparam"


class Scores(nn.Module):
    """What we do not own."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(WIDTH, WIDTH)
        self.temperature = 1.0
        self.power = 2
        self.limit = 50.0

    def forward(self, x):
        return torch.softmax(self.scores(x), -1)

    def scores(self, x):
        return self.mix(x).abs() ** self.power / self.temperature


def scores():
    torch.manual_seed(0)
    return Scores()


def hyperparam(value=2.0, **kwargs):
    return BoundedHyperparam(value, 0.1, 10, log=True, **kwargs)


def signal():
    return draw(2, 5, WIDTH)


def expected(m, x, temperature):
    """The equation, written out."""
    return torch.softmax(m.mix(x).abs() ** m.power / temperature, -1)


CURE = (
    r"(?s)ordinary float \(unbind\).*setter.*'es'.*MetaController: "
    r"controller\.add_hyperparam\('{name}', hyperparam, lambda"
)
"""What an error of a number that cannot be bound advises."""
