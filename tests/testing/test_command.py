"""The command: verdicts, exit codes, and errors that say what to do."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from dsptorch.testing.command import main
from tests.testing.gallery import Attention, one_phase_of_sixteen

HERE = "tests.testing.test_command"


def causal():
    return Attention(is_causal=True)


def with_example():
    return one_phase_of_sixteen, torch.randn(1, 40, 3)


def fails():
    raise OSError("no such checkpoint")


def asserts():
    class Short(nn.Module):
        def forward(self, x):
            assert x.shape[1] <= 8, "block size is 8"
            return x

    return Short()


def number():
    return 3


class Holder:
    build = staticmethod(causal)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (
            [f"{HERE}:causal", "--vocab-size", "11"],
            0,
            "causal: tests.testing.test_command:causal, on token ids",
        ),
        (
            [f"{HERE}:causal", "--vocab-size", "11", "--thorough", "--time", "20", "--batch", "2"],
            0,
            "(2, 20)",
        ),
        ([f"{HERE}:Holder.build", "--vocab-size", "11", "--no-jitter", "--no-train-mode"], 0, "causal"),
        (["torch.nn:Identity", "--channels", "3"], 0, "a signal of shape (1, 64, 3)"),
        ([f"{HERE}:Attention", "--vocab-size", "11"], 1, "Attention: not causal: the output at time"),
        ([f"{HERE}:with_example"], 1, "t mod 16 = 11"),
        (["tests.testing.gallery:LoRA", "--channels", "4"], 1, "once training has moved the parameters"),
        (["tests.testing.gallery:LoRA", "--channels", "4", "--no-jitter"], 0, "causal"),
        (["tests.testing.gallery:BatchStatistics", "--channels", "4"], 1, "in train mode"),
        (["torch.nn"], 2, "expected module:factory, as in mypackage.models:build, got 'torch.nn'"),
        (["no_such:thing"], 2, "expected a module that can be imported, got 'no_such'"),
        ([f"{HERE}:nothing"], 2, "got 'nothing', which is not in it"),
        ([f"{HERE}:HERE"], 2, "to be a function or class that is called without arguments, got str"),
        ([f"{HERE}:fails"], 2, "to build a model, got OSError: no such checkpoint"),
        ([f"{HERE}:number"], 2, "to return a model or (model, example tensor), got int"),
        (["torch.nn:Identity"], 2, "say --vocab-size N"),
        (["torch.nn:Identity", "--channels", "3", "--time", "1"], 2, "--time of at least 2"),
        (
            [f"{HERE}:Attention", "--vocab-size", "99"],
            2,
            "IndexError on token ids of shape (1, 64): index out of",
        ),
        ([f"{HERE}:asserts", "--channels", "3"], 2, "its own AssertionError: block size is 8"),
    ],
)
def test_verdicts(capsys, arguments, code, said):
    assert main(arguments) == code
    captured = capsys.readouterr()
    assert said in (captured.err if code == 2 else captured.out)
    assert not (captured.out if code == 2 else captured.err)


def test_options_that_do_not_exist_exit_with_2():
    with pytest.raises(SystemExit) as caught:
        main(["torch.nn:Identity", "--length", "3"])
    assert caught.value.code == 2


@pytest.mark.parametrize(("factory", "code"), [("SamePadding", 1), ("Missing", 2)])
def test_as_a_process(factory, code):
    command = [
        sys.executable,
        "-m",
        "dsptorch.testing",
        f"tests.testing.gallery:{factory}",
        "--channels",
        "4",
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == code
    assert ("not causal" in result.stdout) == (code == 1)
    assert "Traceback" not in result.stderr
