"""What a training step of every arm costs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from gpt.turns import WARM, cpu_ms

from .arms import ARMS, build
from .data import Recording
from .train import Run, TrainConfig, sample_windows


def step_ms(arms: Sequence[str], recording: Recording, *, rounds: int) -> dict[str, float]:
    """Return the median CPU time of a step, in milliseconds, by arm; to draw the windows does not count.

    Args:
        arms: Names of arms.
        recording: What to train on.
        rounds: Steps of each, after those that do not count.
    """
    config = TrainConfig(steps=rounds + WARM)
    windows = torch.Generator().manual_seed(0)
    drawn = [sample_windows(recording, config, windows) for _ in range(config.steps)]
    steps = {arm: map(Run(build(ARMS[arm]), config).step, *zip(*drawn, strict=True)) for arm in arms}
    return cpu_ms({arm: partial(next, made) for arm, made in steps.items()}, rounds=rounds)
