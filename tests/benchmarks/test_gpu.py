"""benchmarks/gpu.py runs as a whole on the CPU, checks before it measures, and keeps its budget."""

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

import dsptorch
from dsptorch.functional.gpu import choice

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import benchmarks/gpu.py as running it does."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("gpu")


def run(bench: ModuleType, monkeypatch: pytest.MonkeyPatch, output: Path, *options: str) -> dict:
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--dry-run", "--output", str(output), *options])
    try:
        bench.main()
    finally:
        found = json.loads(output.read_text())
    return found


def test_a_dry_run_checks_and_measures_everything(bench, monkeypatch, tmp_path, capsys):
    result = run(bench, monkeypatch, tmp_path / "gpu.json")
    assert not bench.failures(result["checks"])
    assert {"torch.float32", "torch.bfloat16", "torch.float16", "leak", "streaming"} <= set(
        result["checks"]["FIR"]
    )
    arms = result["filters"]["(2, 12, 4), bf16"]["FIR, 4 taps"]
    assert {"copy", "kernels", "torch", "nn.Conv1d"} <= set(arms)
    assert all(set(arms[name]) == set(bench.MODES) for name in ("copy", "kernels", "torch", "nn.Conv1d"))
    chain = result["filters"]["(2, 12, 4), bf16"]["4 FIRs of 4 taps, folded"]
    assert {"kernels", "nn.Conv1d"} <= set(chain)
    tokens = {"plain", "token shift", "FIR", "Multirate", "Multirate, folded"}
    assert set(result["models"]["token"]) == tokens
    open_on_the_cpu = {"folded layers that launch more than 3 kernels", "compiled step, FIR / plain"}
    assert {what for what, found, *_ in result["bounds"] if found is None} == open_on_the_cpu
    assert result["left out"] == [f"compile, {name}" for name in result["checks"]]
    assert "| FIR, 4 taps: kernels " in (tmp_path / "gpu.md").read_text()
    assert "device: cpu" in capsys.readouterr().out


def test_nothing_is_timed_where_a_check_fails(bench, monkeypatch, tmp_path):
    class Leaky(dsptorch.FIR):
        def process(self, x, memory, timeline):
            y, memory = super().process(x, memory, timeline)
            return y + 0.1 * x.roll(-1, 1), memory

    from gpu_checks import LAYERS

    monkeypatch.setitem(LAYERS, "FIR", lambda d: Leaky(d, kernel_size=2))  # planted
    with pytest.raises(SystemExit, match="Nothing was timed"):
        run(bench, monkeypatch, tmp_path / "gpu.json")
    result = json.loads((tmp_path / "gpu.json").read_text())
    assert "filters" not in result
    assert any("leak" in line for line in bench.failures(result["checks"]))


@pytest.mark.parametrize(("side", "found"), [("at most", 1.4), ("at least", 1.2)])
def test_a_figure_beyond_its_bound_fails(bench, side, found):
    rows = [("one", found, side, 1.3), ("other", 1.3, side, 1.3), ("none", None, side, 1.3)]
    assert [row[-1] for row in bench.bounds_table(rows)] == ["FAIL", "pass", "not measured"]


def test_a_wrong_gradient_is_seen(bench):
    from gpu_checks import equals_float64

    layer = dsptorch.FIR(3, kernel_size=2)
    equals_float64(layer, torch.randn(2, 5, 3))
    layer.weight.register_hook(lambda grad: 1.01 * grad if grad.dtype == torch.float32 else grad)  # planted
    with pytest.raises(AssertionError, match="weight"):
        equals_float64(layer, torch.randn(2, 5, 3))


def test_what_does_not_fit_into_the_budget_is_named(bench, monkeypatch, tmp_path):
    result = run(bench, monkeypatch, tmp_path / "gpu.json", "--minutes", "0")
    assert "token, plain" in result["left out"]
    assert result["models"]["token"] == {}


def test_the_torch_path_is_without_the_kernels(bench):
    from gpu_filters import torch_path

    before = choice.DEVICES
    with torch_path():
        assert set() == choice.DEVICES
    assert choice.DEVICES is before


def test_without_a_gpu_it_says_so(bench, monkeypatch):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    with pytest.raises(SystemExit, match="no CUDA device"):
        bench.main()
