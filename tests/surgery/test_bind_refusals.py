"""What cannot be bound is refused, and nothing is changed."""

import pytest
import torch
from torch import nn

from dsptorch import FIR, bind
from tests.surgery.bound import hyperparam


class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain, self.bound, self.flag, self.text, self.tensor = 1.0, 1.0, True, "1", torch.ones(1)
        self.weight = nn.Parameter(torch.ones(1))
        self.register_buffer("buffer", torch.ones(1))
        self.child = nn.Identity()
        bind(self, "bound", hyperparam())

    @property
    def made(self):
        return 1.0

    def forward(self, x):
        return x


ATTRIBUTES = {
    "gian": (ValueError, "Odd has no attribute 'gian'; its plain numbers are: gain, bound"),
    "bound": (ValueError, "bound of Odd is bound to bound_hyperparam; unbind it first"),
    "flag": (TypeError, "flag of Odd must be a float or an int, got a bool"),
    "text": (TypeError, "got a str"),
    "tensor": (TypeError, "got a Tensor"),
    "weight": (TypeError, "got a Parameter, which learns without it"),
    "buffer": (TypeError, "got a Tensor"),
    "child": (TypeError, "got a Identity"),
    "made": (TypeError, "made of Odd is a property or a method; bind the plain number"),
    "forward": (TypeError, "is a property or a method"),
}
MODELS = {
    "none": (nn.Identity, "p", ValueError, "its plain numbers are: none"),
    "container": (lambda: nn.Sequential(Odd()), "gain", TypeError, "Sequential runs its children itself"),
    "layer": (lambda: FIR(4), "d_model", TypeError, "FIR is a dsptorch layer.*constructor"),
}
CASES = {**{name: (Odd, name, *rest) for name, rest in ATTRIBUTES.items()}, **MODELS}


def check_refused(model, name, value, kind, message):
    before = vars(model).copy(), dict(model._modules)
    with pytest.raises(kind, match=message):
        bind(model, name, value)
    assert (vars(model), dict(model._modules)) == before


@pytest.mark.parametrize("case", CASES)
def test_a_place_is_refused_and_nothing_changed(case):
    build, name, kind, message = CASES[case]
    check_refused(build(), name, hyperparam(), kind, message)


def test_a_value_is_refused_and_nothing_changed():
    check_refused(Odd(), "gain", 1.0, TypeError, r"must be a BoundedHyperparam, got 1\.0 of type float")
    check_refused(Odd(), "gain", hyperparam(shape=(3,)), ValueError, r"hold 1 value, as gain.*\(3,\)")
    with pytest.raises(TypeError, match=r"must be an nn\.Module, got 'model' of type str"):
        bind("model", "gain", hyperparam())
