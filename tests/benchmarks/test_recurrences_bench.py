"""The arms of benchmarks/recurrences.py compute the same, and its check notices when one does not."""

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import benchmarks/recurrences.py as running it does."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("recurrences")


def signals() -> tuple[Tensor, Tensor]:
    return torch.randn(2, 40, 3), torch.randn(2, 40, 3)


@pytest.mark.parametrize("case", ["EMA", "SOS"])
def test_arms_agree(bench: ModuleType, case: str) -> None:
    errors = bench.check_arms(bench.CASES[case](3), *signals())
    assert {"Python loop", "scipy", "ours"} <= set(errors)
    assert ("associative_scan" in errors) == (case == "EMA")
    parameters = {"half_life.raw"} if case == "EMA" else {"sections.b", "sections.k1.raw", "sections.k2.raw"}
    assert all(set(found) >= {"output", "x"} | parameters for arm, found in errors.items() if arm != "scipy")


def test_check_catches_a_wrong_output(bench: ModuleType) -> None:
    arms = bench.CASES["EMA"](3)
    with torch.no_grad():
        arms["scipy"].half_life.raw.add_(0.01)  # planted
    with pytest.raises(bench.DisagreementError, match="scipy: output is off"):
        bench.check_arms(arms, *signals())


def test_check_catches_a_wrong_gradient(bench: ModuleType) -> None:
    arms = bench.CASES["SOS"](3)
    arms["ours"].sections.b.register_hook(lambda grad: 1.001 * grad)  # planted: the output is right
    with pytest.raises(bench.DisagreementError, match=r"ours: sections.b is off"):
        bench.check_arms(arms, *signals())


def test_check_catches_a_missing_gradient(bench: ModuleType) -> None:
    arms = bench.CASES["EMA"](3)
    arms["ours"].half_life.raw.requires_grad_(False)
    with pytest.raises(bench.DisagreementError, match=r"ours has no \['half_life.raw'\]"):
        bench.check_arms(arms, *signals())


def test_writes_what_it_measured(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "recurrences.json"
    sizes = ["--batch", "1", "--time", "20", "--d-model", "2", "--repeats", "2", "--threads", "1"]
    monkeypatch.setattr(sys, "argv", ["recurrences.py", *sizes, "--eager", "--output", str(output)])
    bench.main()
    result = json.loads(output.read_text())
    assert {"command", "torch", "scipy", "torchaudio", "cores"} <= set(result["facts"])
    assert set(result["EMA"]["milliseconds"]["forward"]) >= {"copy", "scipy", "ours", "associative_scan"}
    assert "scipy" not in result["EMA"]["milliseconds"]["forward + backward"]
    assert set(result["aims"]) == {
        "scipy / ours, forward",
        "associative_scan / ours, forward",
        "forward + backward / forward",
    }
    assert "| ours " in capsys.readouterr().out
