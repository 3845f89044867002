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


def leaves():
    sys.exit(0)


class Leaves(nn.Module):
    def forward(self, x):
        sys.exit(0)


class Lacks(nn.Module):
    def forward(self, x):
        return {}["weight"]


def complex_signal():
    return nn.Identity(), torch.randn(1, 8, 2, dtype=torch.complex64)


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
        ([f"{HERE}:complex_signal"], 0, "on a signal of shape (1, 8, 2)"),
        (
            [f"{HERE}:leaves", "--channels", "3"],
            2,
            "leaves() to build a model, got SystemExit: 0 in test_command.py",
        ),
        (
            [f"{HERE}:Leaves", "--channels", "3"],
            2,
            "not tested: SystemExit on a signal of shape (1, 64, 3): 0",
        ),
        ([f"{HERE}:causal", "--vocab-size", "1"], 2, "expected --vocab-size of at least 2, got 1"),
        (["torch.nn:Identity", "--channels", "0"], 2, "expected --channels of at least 1, got 0"),
        (
            ["torch.nn:Identity", "--channels", "3", "--time", str(10**20)],
            2,
            "expected an example that fits into",
        ),
        (
            ["torch.nn:Linear", "--channels", "3"],
            2,
            "to build a model, got TypeError: Linear.__init__() missing",
        ),
    ],
)
def test_verdicts(capsys, arguments, code, said):
    assert main(arguments) == code
    captured = capsys.readouterr()
    assert said in (captured.err if code == 2 else captured.out)
    assert not (captured.out if code == 2 else captured.err)


def test_only_an_error_inside_the_model_has_a_traceback(capsys):
    for name in ("Lacks", "asserts", "Leaves"):
        assert main([f"{HERE}:{name}", "--channels", "3"]) == 2
        error = capsys.readouterr().err
        assert error.startswith("Traceback (most recent call last):")
        assert "dsptorch/testing" not in error
        assert error.splitlines()[-1].startswith("not tested: ")
    for arguments in (["fails"], ["leaves", "--channels", "3"], ["number"], ["with_example", "--seed", "-1"]):
        assert main([f"{HERE}:{arguments[0]}", *arguments[1:]]) == 2
        error = capsys.readouterr().err
        assert error.startswith("not tested: ")
        assert error.count("\n") == 1


def test_modules_that_cannot_be_imported(capsys, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    for name, text, said in (
        ("unparsable", "def", "SyntaxError: invalid syntax"),
        ("leaving", "import sys; sys.exit(0)", "SystemExit: 0 in leaving.py, line 1"),
        ("failing", "\n{}[1]", "KeyError: 1 in failing.py, line 2"),
        ("needing", "import no_such_module", "No module named 'no_such_module'"),
    ):
        (tmp_path / f"{name}.py").write_text(text)
        assert main([f"{name}:build"]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.startswith(f"not tested: expected a module that can be imported, got {name!r}: ")
        assert error.count("\n") == 1


def test_an_interrupt_is_no_verdict(capsys, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("dsptorch.testing.command.assert_causal", interrupted)
    assert main(["torch.nn:Identity", "--channels", "3"]) == 2
    assert capsys.readouterr().err == "not tested: interrupted\n"


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
