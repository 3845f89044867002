"""What a training step of every arm costs, all arms in turn, so that a busy time of the machine meets every arm."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import torch

from .arms import ARMS, build
from .data import Recording
from .train import Run, TrainConfig, sample_windows


def step_ms(arms: Sequence[str], recording: Recording, *, rounds: int) -> dict[str, float]:
    """Return the median time of a step, in milliseconds, by arm.

    Args:
        arms: Names of arms.
        recording: What to train on.
        rounds: Steps of each, after two that do not count.
    """
    config = TrainConfig(steps=rounds + 2)
    runs = {arm: Run(build(ARMS[arm]), config) for arm in arms}
    windows = torch.Generator().manual_seed(0)
    spent: dict[str, list[float]] = {arm: [] for arm in arms}
    for _ in range(config.steps):
        x, target = sample_windows(recording, config, windows)
        for arm, run in runs.items():
            began = time.perf_counter()
            run.step(x, target)
            spent[arm].append(1e3 * (time.perf_counter() - began))
    return {arm: statistics.median(times[2:]) for arm, times in spent.items()}
