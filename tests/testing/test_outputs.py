"""Which outputs are compared: all that follow the time, and nothing that only looks so."""

from fractions import Fraction

import pytest
import torch
from torch import nn

from dsptorch.testing import assert_causal
from dsptorch.testing._engine.trials import compared_outputs
from dsptorch.testing.command import main

X = torch.randn(2, 6, 6, generator=torch.Generator().manual_seed(0))
WIDE = torch.ones(6, 6)


def everything(x):
    return {
        "loss": None,
        "pooled": x.mean(1) @ WIDE,
        "mask": x[..., 0] > 0,
        "logits": x,
        "cache": ((x @ WIDE)[:, :1].expand(-1, 6, -1), [x.unsqueeze(1).expand(-1, 6, -1, -1)]),
        "hidden": (x, x.double()),
        "nothing": x[..., :0],
    }


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (lambda x: x, ("",)),
        (lambda x: x[..., 0], ("",)),
        (everything, ("mask", "logits", "hidden[0]", "hidden[1]")),
        (nn.LSTM(6, 5, 2, batch_first=True), ("[0]",)),
        (lambda x: (x.mean(1) @ WIDE, x), ("[1]",)),
        (lambda x: (x.to_sparse(), torch.nested.nested_tensor(list(x))), ("[0]", "[1]")),
    ],
)
def test_what_follows_the_time(model, names):
    assert compared_outputs(model, X) == names


def test_a_model_of_one_length_has_its_first_signal_compared():
    def model(x):
        if x.shape[1] != 6:
            raise RuntimeError("6 time steps")
        return x.mean(1) @ WIDE, x, x

    assert compared_outputs(model, X) == ("[1]",)


def test_a_pooled_vector_is_no_output():
    with pytest.raises(ValueError, match=r"must follow the time, got \(4, 6\) for 6 time steps"):
        assert_causal(lambda x: x.mean(1), X)


def test_another_rate():
    def model(x):
        return x[:, ::2], x[:, ::2].cumsum(1), x

    assert compared_outputs(model, X, Fraction(1, 2)) == ("[0]", "[1]")


def test_outputs_that_come_and_go():
    seen = []

    def model(x):
        seen.append(x)
        return {"y": x} if len(seen) > 3 else {"y": x, "z": x}

    with pytest.raises(ValueError, match="the same parts for every input, got none named 'z' this time"):
        assert_causal(model, X)


def two_outputs():
    return (lambda x: {"mask": x[..., 0] > 0, "pooled": x.mean(1), "y": x}), X


def test_the_command_says_which(capsys):
    assert main([f"{__name__}:two_outputs"]) == 0
    assert capsys.readouterr().out.endswith("on a signal of shape (2, 6, 6), in its outputs mask, y\n")
