"""The arms of benchmarks/filterbanks.py compute the same."""

import importlib
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("filterbanks")


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
    assert ("pywt" in errors) == (bench.HAS_PYWT and bands == 2)
    assert set(errors["scipy"]) == {"output"}
    assert set(errors["python loop"]) == {"output", "x", "taps"}
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
