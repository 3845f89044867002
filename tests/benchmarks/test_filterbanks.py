"""The arms of benchmarks/filterbanks.py compute the same, and benchmarks/reconstruction.py measures what it says."""

import importlib
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("filterbanks")


@pytest.fixture
def reconstruction(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("reconstruction")


def small(bench, bands=2, kind="lattice"):
    torch.manual_seed(0)
    case = bench.Case(2, 26, 3, bands, kind)
    x, v = torch.randn(2, 26, 3), torch.randn(2, bands, -(-26 // bands), 3)
    return bench.build_arms(case, torch.device("cpu")), x, v


@pytest.mark.parametrize(("bands", "kind"), [(2, "lattice"), (4, "cosine")])
def test_arms_agree(bench, bands, kind):
    arms, x, v = small(bench, bands, kind)
    errors = bench.check_arms(arms, x, v)
    assert set(errors) == set(arms) - {"copy"}
    assert ("ptwt" in errors) == (bench.HAS_PTWT and bands == 2)
    assert set(errors["ours"]) == {"output", "x", "taps"}
    assert set(errors["ours, layer"]) == {"output", "x", "bank.filters.angles"}


def test_check_catches_reversed_taps(bench):
    arms, x, v = small(bench)
    with torch.no_grad():
        arms["conv1d"].taps.copy_(arms["conv1d"].taps.flip(1))
    with pytest.raises(bench.DisagreementError, match="conv1d: output is off"):
        bench.check_arms(arms, x, v)


def test_check_catches_a_wrong_gradient(bench):
    arms, x, v = small(bench)
    arms["ours"].taps.register_hook(lambda grad: 1.001 * grad)
    with pytest.raises(bench.DisagreementError, match="ours: taps is off"):
        bench.check_arms(arms, x, v)


@pytest.mark.parametrize("name", ["lattice, 8 taps", "cosine, 4 bands, 24 taps"])
def test_errors_of_a_family_stay_small(reconstruction, name):
    curve = reconstruction.train(reconstruction.Ours(torch.float32, **reconstruction.FAMILIES[name]), 12, 0.1)
    assert curve["step"] == [0, 10, 12]
    assert max(curve["error"]) < 2e-6
    assert curve["loss"][-1] != curve["loss"][0]


def test_errors_of_free_taps_do_not(reconstruction):
    curve = reconstruction.train(reconstruction.FreeTaps(), 12, 0.1)
    assert curve["error"][0] < 2e-6
    assert curve["error"][-1] > 0.1


def test_errors_of_a_soft_loss_do_not(reconstruction):
    pytest.importorskip("ptwt")
    curve = reconstruction.train(reconstruction.Soft(1.0), 12, 0.1)
    assert curve["error"][0] < 1e-5
    assert curve["error"][-1] > 0.01
