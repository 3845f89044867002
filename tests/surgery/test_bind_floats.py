"""What cannot compute with a tensor says so."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from dsptorch import bind
from tests.surgery.bound import CURE, hyperparam, signal
from tests.surgery.models import WIDTH, small
from tests.tolerances import assert_close

FLOATS_ONLY = {
    "LayerNorm": (lambda: nn.LayerNorm(WIDTH), "eps", "layer_norm.*must be float"),
    "Dropout": (lambda: nn.Dropout(0.1), "p", "read into Python by __bool__"),
    "LeakyReLU": (nn.LeakyReLU, "negative_slope", "leaky_relu.*must be Number"),
    "attention": (lambda: nn.MultiheadAttention(WIDTH, 2), "dropout", "must be float|__bool__"),
    "full": (lambda: small(lambda self, x: torch.full((2,), self.p), p=1.0), "p", "full.*must be Number"),
    "float": (lambda: small(lambda self, x: x * float(self.p), p=1.0), "p", "__float__"),
    "if": (lambda: small(lambda self, x: x * self.p if self.p > 0 else x, p=1.0), "p", "__bool__"),
    "max": (lambda: small(lambda self, x: x * max(self.p, 0.5), p=1.0), "p", "__bool__"),
    "math": (lambda: small(lambda self, x: x * math.exp(-self.p), p=1.0), "p", "__float__"),
    "int": (lambda: small(lambda self, x: x[: int(self.p * len(x))], p=0.5), "p", "__int__"),
    "slice": (lambda: small(lambda self, x: x[: self.p], p=1), "p", "__index__"),
    "item": (lambda: small(lambda self, x: x * self.p.real.item(), p=1.0), "p", "item"),
    "numpy": (lambda: small(lambda self, x: x * float(np.exp(self.p)), p=1.0), "p", "__array__"),
    "round": (lambda: small(lambda self, x: x * round(self.p), p=1.0), "p", "__round__"),
    "range": (lambda: small(lambda self, x: [x for _ in range(self.p)], p=1), "p", "__index__"),
}
INPUTS = {"attention": (torch.ones(3, 1, WIDTH),) * 3}


@pytest.mark.parametrize("case", FLOATS_ONLY)
def test_forward_that_needs_a_float_says_so(case):
    build, name, original = FLOATS_ONLY[case]
    m, args = build(), INPUTS.get(case, (signal(),))
    before = vars(m).copy(), repr(m), dict(vars(m)["_modules"])
    who = f"{name} of {type(m).__name__}"
    with pytest.raises(TypeError, match=f"{who}.*({original})") as raised:  # an example finds that at once
        bind(m, name, hyperparam(), example=args)
    raised.match(CURE.format(name=name))
    assert (vars(m), repr(m), dict(vars(m)["_modules"])) == before
    number = getattr(m, name)
    bind(m, name, hyperparam())
    why = f"{who} is bound to a BoundedHyperparam, and forward cannot.*({original})"
    with pytest.raises(TypeError, match=why) as raised:
        m(*args)
    raised.match(CURE.format(name=name))
    assert getattr(m, name) == number


def test_other_errors_stay_what_they_are():
    class OwnError(TypeError):
        pass

    def forward(self, x):
        if x is None:
            raise OwnError("own")
        return x * self.gain + undefined  # noqa: F821

    m = small(forward, gain=1.0)
    bind(m, "gain", hyperparam())
    with pytest.raises(OwnError, match=r"^own$"):
        m(None)
    with pytest.raises(NameError, match="undefined"):
        m(torch.ones(2))
    assert m.gain == 1.0


def test_what_is_no_longer_the_value_alone_may_be_read():
    m = small(lambda self, x: x * self.gain if (x * self.gain).sum() > 0 else x, gain=1.0)
    bind(m, "gain", hyperparam(), example=torch.ones(2))
    assert_close(m(torch.ones(2)), torch.full((2,), 2.0))
