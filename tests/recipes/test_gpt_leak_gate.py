from collections.abc import Callable

import gpt.train
import pytest
import torch
from gpt.arms import Arm, build
from gpt.config import TrainConfig
from gpt.data import Splits
from gpt.errors import LeakError
from gpt.leak_gate import leak_gate
from gpt.lock import LOCK
from gpt.metrics import read_metrics
from gpt.model import GPT, GPTConfig
from gpt.train import train
from lightning.fabric import Fabric
from torch import Tensor, nn

import dsptorch

Tiny = Callable[..., TrainConfig]


class Peek(nn.Module):
    """A leak: it adds the next sample, times a learned gain."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor([gain]))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.gain * torch.cat((x[:, 1:], torch.zeros_like(x[:, :1])), dim=1)


def plant(monkeypatch: pytest.MonkeyPatch, gain: float) -> None:
    def leaky(shape: GPTConfig, arm: Arm) -> GPT:
        model = build(shape, arm)
        dsptorch.insert(model, "blocks.1", lambda _: Peek(gain))
        return model

    monkeypatch.setattr(gpt.train, "build", leaky)


def gate(model: nn.Module, splits: Splits) -> None:
    fabric = Fabric(accelerator="cpu", devices=1)
    leak_gate(fabric, model, splits.val[:16].long()[None], vocab_size=256, step=0)


def test_every_arm_passes(shape: GPTConfig, splits: Splits, arm: Arm) -> None:
    gate(build(shape, arm), splits)


def test_a_leaky_layer_stops_the_run_before_it_starts(
    tiny: Tiny, splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, gain=0.1)
    with pytest.raises(LeakError, match=r"looks ahead after step 0.*run is stopped"):
        train(tiny(), splits)
    assert {path.name for path in tiny().out.iterdir()} == {LOCK}


def test_a_leak_that_training_opens_stops_the_run_at_the_checkpoint(
    tiny: Tiny, splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, gain=0.0)
    with pytest.raises(LeakError, match=r"looks ahead after step 4.*nothing of it is saved as good"):
        train(tiny(), splits)
    left = {path.name for path in tiny().out.iterdir()} - {"tensorboard", LOCK}
    assert left == {"metrics.jsonl"}
    assert not any("val_loss" in record for record in read_metrics(tiny().out / "metrics.jsonl"))


@pytest.mark.parametrize("training", [True, False])
def test_the_gate_leaves_mode_gradients_and_randomness_alone(
    shape: GPTConfig, splits: Splits, training: bool
) -> None:
    model = build(shape, Arm()).train(training)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    gate(model, splits)
    assert torch.equal(torch.rand(3), expected)
    assert all(module.training == training for module in model.modules())
    assert all(p.grad is None for p in model.parameters())
    assert torch.is_grad_enabled()
