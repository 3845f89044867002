"""How long a run will take on this machine, as busy as it is now: told from a few of its steps."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from math import ceil

import torch

from .arms import build
from .batches import BYTES
from .config import TrainConfig
from .data import Splits
from .evaluate import evaluating
from .step_time import one_step

MEASURED = 3  # steps; the first one, in which memory is laid out, comes before them


def seconds_to_train(config: TrainConfig, splits: Splits) -> float:
    """Estimate the seconds of a run: its updates, its validations, its test and its leak gates.

    Args:
        config: the run.
        splits: its text.
    """
    return config.steps * seconds_of(one_step(config)) + _passes(config, splits) * seconds_of(
        _forward(config)
    )


def _passes(config: TrainConfig, splits: Splits) -> int:
    """Return the number of batches that a run maps without gradients."""
    size = config.batch_size * config.model.context
    validations, gates = (ceil(config.steps / n) for n in (config.eval_every, config.checkpoint_every))
    judged = validations * ceil(len(splits.val) / size) + ceil(len(splits.test) / size)
    # The gate changes a row at each of its bytes: as many rows as the context is long.
    return judged + (1 + gates) * ceil(config.model.context / config.batch_size)


def _forward(config: TrainConfig) -> Callable[[], None]:
    model = build(config.model, config.arm)
    ids = torch.randint(BYTES, (config.batch_size, config.model.context))  # (B, T)

    def forward() -> None:
        with evaluating(model):
            model(ids)

    return forward


def seconds_of(call: Callable[[], None]) -> float:
    """Return the median time of some calls, after one that does not count."""
    call()
    spent = []
    for _ in range(MEASURED):
        began = time.perf_counter()
        call()
        spent.append(time.perf_counter() - began)
    return statistics.median(spent)


def in_words(seconds: float) -> str:
    """Say how long something will take."""
    amount = f"{round(seconds / 60)} minutes" if seconds >= 90 else f"{max(1, round(seconds))} s"
    return f"It will take about {amount}, if this machine stays as busy as it is now."
