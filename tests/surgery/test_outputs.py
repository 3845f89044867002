"""The signal is found among whatever a module returns, and what it returned stays as it was."""

import dataclasses
from collections import OrderedDict
from typing import NamedTuple

import pytest
import torch
from torch import nn

from dsptorch import insert
from dsptorch.testing._engine.run import tensors_of
from tests.surgery.models import WIDTH, Around, draw, lag, small
from tests.tolerances import assert_close, assert_same

outputs = pytest.importorskip("transformers.modeling_outputs")

SIGNAL = draw(2, 9, WIDTH)


class Pair(NamedTuple):
    name: str
    x: torch.Tensor


@dataclasses.dataclass
class Record:
    name: str
    x: torch.Tensor


@dataclasses.dataclass(frozen=True)
class Frozen:
    x: torch.Tensor
    made: int = dataclasses.field(init=False, default=0)


@dataclasses.dataclass
class Scaled:
    """Whose constructor must not run twice."""

    x: torch.Tensor

    def __post_init__(self):
        self.x = 2 * self.x


@dataclasses.dataclass(slots=True)
class Slots:
    x: torch.Tensor


def model_output(x):
    return outputs.BaseModelOutput(last_hidden_state=x, hidden_states=(x, x))


KINDS = {
    "tensor": lambda x: x,
    "tuple": lambda x: (x, 3),
    "two tensors": lambda x: (x, x.clone()),
    "what torch.max returns": lambda x: torch.max(x[..., None], -1),
    "later in a tuple": lambda x: (None, "name", x),
    "list": lambda x: [x, 3],
    "named tuple": lambda x: Pair("name", x),
    "dict": lambda x: {"loss": None, "x": x},
    "OrderedDict": lambda x: OrderedDict(x=x, n=3),
    "dataclass": lambda x: Record("name", x),
    "frozen dataclass": Frozen,
    "dataclass with a constructor": Scaled,
    "dataclass with slots": Slots,
    "ModelOutput": model_output,
}


class Named(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind, self.made = kind, None

    def forward(self, x):
        self.made = self.kind(x)
        return self.made


def signal_of(output):
    return next(tensors_of(output))


def check_output(output, made):
    """The signal is filtered in a copy; all else is the same thing."""
    before = signal_of(made)
    assert type(output) is type(made)
    assert_same(signal_of(output), lag()(before))
    assert not torch.equal(signal_of(output), before)
    if isinstance(output, (tuple, list)):
        assert [a is b for a, b in zip(output, made, strict=True)].count(False) == 1
    if isinstance(output, dict):
        assert list(output) == list(made)
        assert all(output[key] is made[key] for key in output if output[key] is not signal_of(output))
    if hasattr(output, "last_hidden_state"):
        assert output[0] is output["last_hidden_state"] is output.last_hidden_state  # kept twice


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_tensor_is_the_signal(kind):
    m = nn.Sequential(Named(KINDS[kind]))
    insert(m, "0", lag, position="after")
    check_output(m(SIGNAL), m[0].made)


def test_a_change_in_place_is_caught():
    made = Record("name", SIGNAL)
    made.x = lag()(SIGNAL)
    with pytest.raises(AssertionError):
        check_output(made, made)


def test_a_constructor_that_runs_twice_is_caught():
    made = Scaled(SIGNAL)
    with pytest.raises(AssertionError):
        check_output(dataclasses.replace(made, x=lag()(made.x)), made)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tuple", "list", "named tuple", "dict", "dataclass", "ModelOutput"])
def test_compiles_to_one_graph(kind):
    torch.compiler.reset()
    m = small(lambda self, x: signal_of(self.inner(x)), inner=Named(KINDS[kind]))
    insert(m, "inner", lag, position="after")
    assert_close(torch.compile(m, fullgraph=True, backend="aot_eager")(SIGNAL), m(SIGNAL))


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("text", r"after Around, whose output must be a tensor, or hold one.*got str"),
        (
            nn.utils.rnn.pack_sequence([SIGNAL[0]]),
            r"dsp_after.*PackedSequence; give the model a padded batch",
        ),
        ({}, "got dict; insert it before"),
        ((), "got tuple; insert it before"),
        ([3], "got list; insert it before"),
        (Frozen(None), "got Frozen; insert it before"),
    ],
)
def test_an_output_without_a_signal_is_refused(output, message):
    m = nn.Sequential(Around(Named(lambda x: output)))
    insert(m, "0", lag, position="after")
    with pytest.raises(TypeError, match=message):
        m(SIGNAL)
