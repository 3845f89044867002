"""The training loop, and what a trained classifier has to show."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from gpt.ranges import Count, NotNegative, Positive, check
from lightning.fabric import Fabric
from torch import Tensor

from .arms import Arm
from .data import Clips
from .model import Classifier


@dataclass(frozen=True)
class TrainConfig:
    """How every arm is trained.

    Args:
        epochs: passes over the training clips.
        batch_size: clips an update.
        lr: peak learning rate of the network, after a linear warm-up over a tenth of the steps; then a cosine to 0.
        front_lr: how many times that of the front end is.
        weight_decay: of the network.
    """

    epochs: Count = 16
    batch_size: Count = 64
    lr: Positive = 3e-3
    front_lr: Positive = 3.0
    weight_decay: NotNegative = 1e-2

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        check(TrainConfig, vars(self))


def train(arm: Arm, clips: Clips, config: TrainConfig, *, seed: int) -> Classifier:
    """Train one arm, and return the classifier in eval mode.

    Weights and the order of the clips are functions of the seed.

    Raises:
        FloatingPointError: The loss is not finite.
    """
    torch.manual_seed(seed)
    model = Classifier(arm, clips)
    fabric = Fabric(accelerator="cpu", devices=1)
    front = [*model.energies.parameters(), *model.compression.parameters()]
    net = [*model.net.parameters(), *model.head.parameters()]
    wrapped, optimizer = fabric.setup(
        model.train(),
        torch.optim.AdamW(
            [
                {"params": net, "times": 1.0, "weight_decay": config.weight_decay},
                {
                    "params": [p for p in front if p.requires_grad],
                    "times": config.front_lr,
                    "weight_decay": 0.0,
                },
            ],
            lr=config.lr,
        ),
    )
    fixed = None if model.learns else energies_of(model, clips)
    order = torch.Generator().manual_seed(seed)
    steps = config.epochs * math.ceil(len(clips) / config.batch_size)
    batches = (
        rows
        for _ in range(config.epochs)
        for rows in torch.randperm(len(clips), generator=order).split(config.batch_size)
    )
    for step, rows in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = config.lr * group["times"] * schedule(step, steps)
        batch = clips.at(rows)
        energies = model.energies(batch.waveforms) if fixed is None else fixed[rows]
        initials, tones = wrapped(energies, frames_of(model, batch))
        loss = F.cross_entropy(initials, batch.initials, label_smoothing=0.1)
        loss = loss + 0.3 * F.cross_entropy(tones, batch.tones)
        if not math.isfinite(loss.item()):
            raise FloatingPointError(f"expected a finite loss, got {loss.item()} in step {step}; lower --lr")
        optimizer.zero_grad()
        fabric.backward(loss)
        fabric.clip_gradients(wrapped, optimizer, max_norm=5.0)
        optimizer.step()
    return model.eval()


def schedule(step: int, steps: int) -> float:
    """The share of the peak learning rate at a step."""
    rise = max(1, steps // 10)
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def frames_of(model: Classifier, clips: Clips) -> Tensor:
    """How many frames belong to each clip."""
    rate = model.energies.rate
    return (clips.lengths * rate.numerator + rate.denominator - 1) // rate.denominator


@torch.no_grad()
def energies_of(model: Classifier, clips: Clips) -> Tensor:
    """The energies of all clips."""
    return torch.cat([model.energies(part) for part in clips.waveforms.split(128)])


@torch.no_grad()
def accuracies(model: Classifier, clips: Clips) -> dict[str, float]:
    """The shares of clips whose initial and whose tone are told right."""
    initials, tones = model(energies_of(model, clips), frames_of(model, clips))
    return {
        "initials": (initials.argmax(1) == clips.initials).float().mean().item(),
        "tones": (tones.argmax(1) == clips.tones).float().mean().item(),
    }
