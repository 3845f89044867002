"""How long a step takes on this machine, and how much longer than a step of another arm, measured side by side."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import nn

from dsptorch import param_groups

from .arms import build
from .batches import BYTES
from .config import TrainConfig
from .evaluate import next_byte_loss


def time_ratio(config: TrainConfig, reference: TrainConfig, *, rounds: int = 24) -> float:
    """Return the time of a step of `config` over that of a step of `reference`.

    The two take turns, step by step, so that whatever else the machine does meets both. Each time is the lower
    quartile over the rounds: other programs only ever add to a step. The first quarter of the rounds, in which memory
    is laid out, is not counted.

    Args:
        config: the arm.
        reference: what its time is divided by.
        rounds: steps of each, at least 4.
    """
    steps = [one_step(config), one_step(reference)]
    spent: list[list[float]] = [[], []]
    for _ in range(rounds):
        for step, seconds in zip(steps, spent, strict=True):
            began = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - began)
    own, of_reference = (lower_quartile(seconds[rounds // 4 :]) for seconds in spent)
    return own / of_reference


def lower_quartile(seconds: Sequence[float]) -> float:
    """Return the median of the lower half."""
    ordered = sorted(seconds)
    return statistics.median(ordered[: (len(ordered) + 1) // 2])


def one_step(config: TrainConfig) -> Callable[[], None]:
    """Return a function that makes one update of a fresh model on a batch of random bytes."""
    generator = torch.Generator().manual_seed(0)
    shape = (config.batch_size, config.model.context)
    ids = torch.randint(BYTES, shape, generator=generator)  # (B, T)
    model = build(config.model, config.arm)
    groups = param_groups(model, weight_decay=config.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=config.lr)

    def step() -> None:
        next_byte_loss(model, ids, ids).backward()
        nn.utils.clip_grad_norm_(model.parameters(), config.clip or float("inf"))
        optimizer.step()
        optimizer.zero_grad()

    return step
