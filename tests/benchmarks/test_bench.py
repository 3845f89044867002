"""The arms of benchmarks/multirate.py compute the same, and its check notices when one does not."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

from dsptorch import Multirate

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import benchmarks/multirate.py as running it does."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("multirate")


@pytest.fixture
def layer(bench: ModuleType) -> Multirate:
    torch.manual_seed(0)
    return bench.perturbed(Multirate(6, downsample=3))


def signals() -> tuple[Tensor, Tensor]:
    return torch.randn(2, 13, 6), torch.randn(2, 13, 6)


def test_arms_agree(bench: ModuleType, layer: Multirate) -> None:
    errors = bench.check_arms(bench.build_arms(layer), *signals())
    assert set(errors) == {"literal", "shift-and-add", "ours", "ours unfolded"}
    gradients = {"x", "low", "recon", "detail", "mix_ratio.raw", "detail_strength.raw"}
    assert all(set(found) == {"output"} | gradients for found in errors.values())


def test_check_catches_a_wrong_output(bench: ModuleType, layer: Multirate) -> None:
    arms = bench.build_arms(layer)
    with torch.no_grad():
        arms["shift-and-add"].low.copy_(arms["shift-and-add"].low.flip(1))  # planted: the taps reversed
    with pytest.raises(bench.DisagreementError, match="shift-and-add: output is off"):
        bench.check_arms(arms, *signals())


def test_check_catches_a_wrong_gradient(bench: ModuleType, layer: Multirate) -> None:
    arms = bench.build_arms(layer)
    arms["ours"].recon.register_hook(lambda grad: 1.001 * grad)  # planted: the output is right
    with pytest.raises(bench.DisagreementError, match="ours: recon is off"):
        bench.check_arms(arms, *signals())


def test_check_catches_a_missing_gradient(bench: ModuleType, layer: Multirate) -> None:
    arms = bench.build_arms(layer)
    arms["ours unfolded"].detail.requires_grad_(False)
    with pytest.raises(bench.DisagreementError, match="ours unfolded"):
        bench.check_arms(arms, *signals())


def test_peak_memory_of_a_copy(bench: ModuleType) -> None:
    x = torch.zeros(1000)
    harness = importlib.import_module("harness")
    assert harness.peak_memory(x.clone, x.device) == 4000
