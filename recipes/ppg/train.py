"""The training loop: Lightning Fabric around a plain PyTorch step."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from gpt.errors import LeakError, UsageError
from gpt.ranges import Count, NotNegative, Positive, check
from lightning.fabric import Fabric
from torch import Tensor, nn

from dsptorch.testing import assert_causal

from .arms import Arm, build
from .data import Recording
from .evaluate import CONTEXT, WINDOW


@dataclass(frozen=True)
class TrainConfig:
    """How every arm is trained.

    Args:
        horizon: how far ahead to forecast, in samples.
        steps: number of updates.
        batch_size: windows an update.
        lr: peak learning rate, after a linear warm-up over a tenth of the steps; then a cosine down to 0.
        clip: the greatest norm of a gradient; 0 does not clip.
    """

    horizon: Count = 25
    steps: Count = 600
    batch_size: Count = 8
    lr: Positive = 2e-2
    clip: NotNegative = 1.0

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        check(TrainConfig, vars(self))


def train(arm: Arm, recording: Recording, config: TrainConfig, *, seed: int) -> nn.Module:
    """Train one arm on the training part, and return the model in eval mode.

    Weights and windows are functions of the seed, and all arms of a seed see the same windows.

    Raises:
        LeakError: The model looks ahead, before or after training.
        FloatingPointError: The loss is not finite.
        UsageError: The training part is shorter than a window.
    """
    check_length(recording, config)
    torch.manual_seed(seed)
    model = build(arm)
    leak_gate(model, recording)
    run = Run(model, config)
    windows = torch.Generator().manual_seed(seed)
    for _ in range(config.steps):
        run.step(*sample_windows(recording, config, windows))
    leak_gate(model.eval(), recording)
    return model


class Run:
    """A model in training, with its optimizer, on the CPU.

    Args:
        model: The model; it is trained in place.
        config: How.
    """

    def __init__(self, model: nn.Module, config: TrainConfig) -> None:
        self.fabric = Fabric(accelerator="cpu", devices=1)
        self.model, self.optimizer = self.fabric.setup(
            model.train(), torch.optim.Adam(model.parameters(), lr=config.lr)
        )
        self.config, self.done = config, 0

    def step(self, x: Tensor, target: Tensor) -> None:
        """Make one update, towards the `target` of the windows `x`.

        Raises:
            FloatingPointError: The loss is not finite.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.done, self.config)
        self.done += 1
        loss = (self.model(x)[:, CONTEXT:] - target).square().mean()
        if not math.isfinite(loss.item()):
            raise FloatingPointError(
                f"expected a finite loss, got {loss.item()} in step {self.done}; lower --lr"
            )
        self.optimizer.zero_grad()
        self.fabric.backward(loss)
        self.fabric.clip_gradients(self.model, self.optimizer, max_norm=self.config.clip or math.inf)
        self.optimizer.step()


def check_length(recording: Recording, config: TrainConfig) -> None:
    """Refuse a recording without a whole window to train on.

    Raises:
        UsageError: It is too short.
    """
    if recording.train_end < WINDOW + config.horizon:
        raise UsageError(
            f"expected at least {WINDOW + config.horizon} samples to train on, got {recording.train_end}; "
            "lower --horizon, or take a longer recording"
        )


def sample_windows(
    recording: Recording, config: TrainConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw windows of the training part, and the samples `horizon` after those that count.

    Returns:
        (batch, WINDOW, 1) and (batch, WINDOW - CONTEXT, 1).
    """
    last = recording.train_end - WINDOW - config.horizon
    start = torch.randint(last + 1, (config.batch_size, 1), generator=generator)
    times = start + torch.arange(WINDOW)
    x, target = recording.signal[times], recording.signal[times[:, CONTEXT:] + config.horizon]
    return x.unsqueeze(-1), target.unsqueeze(-1)


def learning_rate(step: int, config: TrainConfig) -> float:
    """Return the rate of a step."""
    rise = max(1, config.steps // 10)
    if step < rise:
        return config.lr * (step + 1) / rise
    return config.lr * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, config.steps - rise)))


def leak_gate(model: nn.Module, recording: Recording) -> None:
    """Stop if any forecast depends on a later sample, tried at every cut of 96 samples of the recording.

    Raises:
        LeakError: It does.
    """
    try:
        assert_causal(model, recording.signal[None, :96, None])
    except AssertionError as error:
        raise LeakError(
            f"expected a causal model, got one that looks ahead: {error}. Its forecasts would mean nothing; take the "
            "leaking layer out, or make it causal"
        ) from error
