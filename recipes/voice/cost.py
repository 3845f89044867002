"""What a step of training costs, all arms in turn, so that a busy time of the machine meets every arm."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from torch import Tensor

from .arms import ARMS, build
from .train import Run, TrainConfig


def step_ms(arms: Sequence[str], codes: Tensor, config: TrainConfig, *, rounds: int) -> dict[str, float]:
    """Return the median time of a step, in milliseconds of CPU, by arm.

    Args:
        arms: Names of arms.
        codes: What to train on.
        config: How.
        rounds: Steps of each, after two that do not count.
    """
    runs = {arm: Run(build(ARMS[arm]), codes, config, seed=0) for arm in arms}
    spent: dict[str, list[float]] = {arm: [] for arm in arms}
    for _ in range(rounds + 2):
        for arm, run in runs.items():
            began = time.process_time()
            run.step()
            spent[arm].append(1e3 * (time.process_time() - began))
    return {arm: statistics.median(times[2:]) for arm, times in spent.items()}
