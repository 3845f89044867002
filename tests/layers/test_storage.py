"""What trainers do with a layer: safetensors, and activation checkpoints, in mixed precision too."""

import pytest
import torch
from safetensors.torch import load_model, save_model
from torch.utils.checkpoint import checkpoint

from dsptorch import FIR
from tests.layers.table import ONE_OF_EACH_KIND, WIDTH, build, signal
from tests.tolerances import assert_close, assert_same


@pytest.mark.parametrize("name", ONE_OF_EACH_KIND)
def test_safetensors_round_trip(name, tmp_path):
    layer, other = build(name), build(name, scatter=False)
    save_model(layer, tmp_path / "layer.safetensors")
    load_model(other, tmp_path / "layer.safetensors")
    assert_same(other(signal()), layer(signal()))


def check_checkpoint(layer, reentrant, half):
    x = signal(2, 20, torch.float32).requires_grad_()
    found = []
    for run in (layer, lambda x: checkpoint(layer, x, use_reentrant=reentrant)):
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            y = run(x)
        leaves = [x, *(p for p in layer.parameters() if p.requires_grad)]
        y.float().square().sum().backward()
        found.append([y, *(torch.zeros(()) if p.grad is None else p.grad.clone() for p in leaves)])
        for p in leaves:
            p.grad = None
    for mine, its in zip(found[1], found[0], strict=True):
        assert_close(mine, its)


@pytest.mark.parametrize("name", ONE_OF_EACH_KIND)
@pytest.mark.parametrize(("reentrant", "half"), [(False, True), (True, False)])
def test_a_checkpoint_gives_the_same_numbers(name, reentrant, half):
    check_checkpoint(build(name, torch.float32), reentrant, half)


def test_a_layer_that_differs_the_second_time_is_caught():
    class Counts(FIR):
        calls = 0

        def process(self, x, memory, timeline):
            self.calls += 1
            y, memory = super().process(x, memory, timeline)
            return y * self.calls, memory

    with pytest.raises(AssertionError):
        check_checkpoint(Counts(WIDTH), False, False)
