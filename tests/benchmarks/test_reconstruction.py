"""benchmarks/reconstruction.py measures what it says, and its committed result says what the documentation does."""

import importlib
import json
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RESULT = BENCHMARKS / "results" / "reconstruction.json"


@pytest.fixture
def reconstruction(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("reconstruction")


@pytest.fixture
def banks(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("reconstruction_banks")


@pytest.mark.parametrize(
    "name",
    ["lattice, 8 taps", "Wavelet, db4, 3 levels", "Lifting, two networks", "UndecimatedBands, 4 levels"],
)
def test_errors_of_a_family_stay_small(reconstruction, banks, name):
    curve = reconstruction.train(banks.Ours(name, torch.float32), 12, 0.1)
    assert curve["step"] == [0, 10, 12]
    assert max(curve["error"]) < 2e-6
    assert curve["loss"][-1] != curve["loss"][0]


def test_errors_of_free_taps_do_not(reconstruction, banks):
    curve = reconstruction.train(banks.FreeTaps(), 12, 0.1)
    assert curve["error"][0] < 2e-6
    assert curve["error"][-1] > 0.1


def test_errors_of_a_soft_loss_do_not(reconstruction, banks):
    pytest.importorskip("ptwt")
    curve = reconstruction.train(banks.Soft(1.0), 12, 0.1)
    assert curve["error"][0] < 1e-5
    assert curve["error"][-1] > 0.01


def check_result(curves, families):
    """Every family, after 500 steps: 2e-6 in float32, 1e-12 in float64; and the controls are lost."""
    for name in families:
        for dtype, limit in (("float32", 2e-6), ("float64", 1e-12)):
            curve = curves[f"{name}, {dtype}"]
            assert curve["step"][-1] == 500
            # Of lifting the error is relative to what the networks predict, which need not be as small as the signal.
            error = curve["error"][-1] if name.startswith("Lifting") else max(curve["error"])
            assert error <= limit, f"{name}, {dtype}: {error}"
    for name in curves.keys() - {f"{name}, {d}" for name in families for d in ("float32", "float64")}:
        assert max(curves[name]["error"]) > 0.1, name


def test_the_committed_result(banks):
    result = json.loads(RESULT.read_text())
    check_result(result["curves"], banks.FAMILIES)
    assert sum(name.startswith("ptwt") for name in result["curves"]) == len(banks.SOFT_WEIGHTS)
    assert result["options"]["lr"] == 0.1


def test_a_result_that_drifts_is_caught(banks):
    curves = json.loads(RESULT.read_text())["curves"]
    curves["lattice, 8 taps, float32"]["error"][20] = 3e-6
    with pytest.raises(AssertionError, match=r"lattice, 8 taps, float32: 3e-06"):
        check_result(curves, banks.FAMILIES)


def test_the_figure_is_drawn(reconstruction, tmp_path):
    pytest.importorskip("matplotlib")
    curves = json.loads(RESULT.read_text())["curves"]
    reconstruction.draw(curves, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
