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


REFUSALS = {
    "no module": (
        lambda: "model",
        "gain",
        hyperparam,
        TypeError,
        "must be an nn.Module, got 'model' of type str",
    ),
    "no hyperparam": (
        Odd,
        "gain",
        lambda: 1.0,
        TypeError,
        r"must be a BoundedHyperparam, got 1\.0 of type float",
    ),
    "many values": (
        Odd,
        "gain",
        lambda: hyperparam(shape=(3,)),
        ValueError,
        r"hold 1 value, as gain.*\(3,\)",
    ),
    "missing": (
        Odd,
        "gian",
        hyperparam,
        ValueError,
        "Odd has no attribute 'gian'; its plain numbers are: gain, bound",
    ),
    "none": (nn.Identity, "p", hyperparam, ValueError, "its plain numbers are: none"),
    "bound": (
        Odd,
        "bound",
        hyperparam,
        ValueError,
        "bound of Odd is bound to bound_hyperparam; unbind it first",
    ),
    "bool": (Odd, "flag", hyperparam, TypeError, "flag of Odd must be a float or an int, got a bool"),
    "str": (Odd, "text", hyperparam, TypeError, "got a str"),
    "tensor": (Odd, "tensor", hyperparam, TypeError, "got a Tensor"),
    "parameter": (Odd, "weight", hyperparam, TypeError, "got a Parameter, which learns without it"),
    "buffer": (Odd, "buffer", hyperparam, TypeError, "got a Tensor"),
    "child": (Odd, "child", hyperparam, TypeError, "got a Identity"),
    "property": (
        Odd,
        "made",
        hyperparam,
        TypeError,
        "made of Odd is a property or a method; bind the plain number",
    ),
    "method": (Odd, "forward", hyperparam, TypeError, "is a property or a method"),
    "container": (
        lambda: nn.Sequential(Odd()),
        "gain",
        hyperparam,
        TypeError,
        "Sequential runs its children itself",
    ),
    "layer": (lambda: FIR(4), "d_model", hyperparam, TypeError, "FIR is a dsptorch layer.*constructor"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_changes_nothing(case):
    build, name, make, kind, message = REFUSALS[case]
    m = build()
    before = vars(m).copy() if isinstance(m, nn.Module) else None
    children = dict(vars(m)["_modules"]) if isinstance(m, nn.Module) else None
    with pytest.raises(kind, match=message):
        bind(m, name, make())
    if before is not None:
        assert vars(m) == before
        assert dict(vars(m)["_modules"]) == children
