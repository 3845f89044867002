"""Every layer that the GPU's benchmark checks, by the kernels, against itself in float64 by PyTorch's path."""

import sys
from copy import deepcopy
from pathlib import Path

import pytest
import torch

from dsptorch.functional.gpu import choice
from tests.functional.gpu.planted import plant
from tests.tolerances import assert_close

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))

from gpu_checks import LAYERS


def results(layer, x):
    x = x.detach().clone().requires_grad_()
    y = layer(x)
    y.square().mean().backward()
    return {"y": y.detach(), "x": x.grad} | {name: p.grad for name, p in layer.named_parameters()}


def check(name: str, device: str) -> None:
    torch.manual_seed(0)
    layer, x = LAYERS[name](8), torch.randn(2, 30, 8)
    exact = deepcopy(layer).double()
    found = results(layer.to(device), x.to(device))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice, "DEVICES", set())
        expected = results(exact, x.double())
    for part, one in found.items():
        other = expected[part]
        assert (one is None) == (other is None), part
        if other is not None:
            scale = max(1.0, float(other.abs().max()))
            assert_close(one.cpu(), other, dtype=torch.float32, scale=scale, what=part)


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
