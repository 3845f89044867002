"""The training loop: Lightning Fabric around a plain PyTorch step."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from gpt.errors import UsageError
from gpt.leak_gate import leak_gate
from gpt.ranges import Count, NotNegative, Positive, check
from lightning.fabric import Fabric
from torch import Tensor

from .arms import Arm, build
from .codes import LEVELS
from .mixture import bits
from .model import VoiceModel

GATED = 96  # samples of the leak gate


@dataclass(frozen=True)
class TrainConfig:
    """How every arm is trained.

    Args:
        steps: number of updates.
        batch_size: windows an update.
        window: samples of a window.
        skipped: the first samples of a window, which do not count: little is known yet.
        lr: peak learning rate, after a linear warm-up over a tenth of the steps; then a cosine down to 0.
        clip: the greatest norm of a gradient; 0 does not clip.
    """

    steps: Count = 500
    batch_size: Count = 8
    window: Count = 1024
    skipped: Count = 256
    lr: Positive = 1e-2
    clip: NotNegative = 1.0

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        check(TrainConfig, vars(self))
        if self.window <= self.skipped:
            raise UsageError(
                f"window: expected more than the {self.skipped} samples skipped, got {self.window}"
            )


class Run:
    """A model in training, with its optimizer, on the CPU.

    Args:
        model: The model; it is trained in place.
        codes: The training part, uint8, (time,).
        config: How.
        seed: Of the windows: all arms of a seed see the same ones.
    """

    def __init__(self, model: VoiceModel, codes: Tensor, config: TrainConfig, *, seed: int) -> None:
        if len(codes) <= config.window:
            raise UsageError(
                f"expected more than {config.window} samples to train on, got {len(codes)}; take more prompts"
            )
        self.fabric = Fabric(accelerator="cpu", devices=1)
        learned = [p for p in model.parameters() if p.requires_grad]
        self.wrapped, self.optimizer = self.fabric.setup(
            model.train(), torch.optim.Adam(learned, lr=config.lr, betas=(0.9, 0.99))
        )
        self.model, self.codes, self.config, self.done = model, codes, config, 0
        self.windows = torch.Generator().manual_seed(seed)

    def step(self) -> float:
        """Make one update, and return the loss in bits a sample.

        Raises:
            FloatingPointError: The loss is not finite.
        """
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = config.lr * schedule(self.done, config.steps)
        self.done += 1
        start = torch.randint(len(self.codes) - config.window, (config.batch_size, 1), generator=self.windows)
        codes = self.codes[start + torch.arange(config.window + 1)].long()
        loss = bits(self.wrapped(codes[:, :-1]), codes[:, 1:])[:, config.skipped :].mean()
        if not math.isfinite(loss.item()):
            raise FloatingPointError(
                f"expected a finite loss, got {loss.item()} in step {self.done}; lower --lr"
            )
        self.optimizer.zero_grad()
        self.fabric.backward(loss)
        self.fabric.clip_gradients(self.wrapped, self.optimizer, max_norm=config.clip or math.inf)
        self.optimizer.step()
        return loss.item()

    def gate(self) -> None:
        """Stop if any mixture depends on a later code, tried at every cut of a stretch of the training part.

        Raises:
            LeakError: One does.
        """
        middle = len(self.codes) // 2
        leak_gate(
            self.fabric,
            self.model,
            self.codes[None, middle : middle + GATED].long(),
            vocab_size=LEVELS,
            step=self.done,
        )


def train(arm: Arm, codes: Tensor, config: TrainConfig, *, seed: int) -> tuple[VoiceModel, list[float]]:
    """Train one arm; weights and windows are functions of the seed.

    Args:
        arm: The arm.
        codes: The training part, uint8, (time,).
        config: How.
        seed: Of weights and windows.

    Returns:
        The model in eval mode, and the loss of every step in bits a sample.

    Raises:
        LeakError: The model looks ahead, before, halfway or after training.
        FloatingPointError: The loss is not finite.
    """
    torch.manual_seed(seed)
    run = Run(build(arm), codes, config, seed=seed)
    run.gate()
    losses = [run.step() for _ in range(config.steps // 2)]
    run.gate()
    losses += [run.step() for _ in range(config.steps - config.steps // 2)]
    run.gate()
    return run.model.eval(), losses


def schedule(step: int, steps: int) -> float:
    """The share of the peak learning rate at a step."""
    rise = max(1, steps // 10)
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))
