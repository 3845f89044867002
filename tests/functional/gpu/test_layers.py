"""Every layer that the GPU's benchmark checks, by the kernels, against itself in float64 by PyTorch's path."""

import sys
from pathlib import Path

import pytest
import torch

from tests.functional.gpu.planted import plant

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))

from gpu_checks import LAYERS, equals_float64


def check(name: str, device: str) -> None:
    torch.manual_seed(0)
    equals_float64(LAYERS[name](8).to(device), torch.randn(2, 30, 8, device=device))


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_computes_by_the_kernels_what_it_is(device, name):
    check(name, device)


@pytest.mark.parametrize(
    ("name", "stem", "old", "new"),
    [
        ("FIR", "windows", "TAPS - 1 - n % TAPS", "n % TAPS"),
        ("Decimate", "rate_windows", "total += factor * window", "total += 2 * factor * window"),
    ],
)
def test_a_planted_bug_is_caught(device, monkeypatch, tmp_path, name, stem, old, new):
    plant(monkeypatch, tmp_path, stem, old, new)
    with pytest.raises(AssertionError):
        check(name, device)
