"""The learning curve of a run, and what had been spent at each of its points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..metrics import LOG, read_metrics
from .paired import Finished

Metric = Literal["train", "val"]
COSTS = ("steps", "tokens", "flops", "seconds")


@dataclass(frozen=True)
class Curve:
    """Losses of a run at its steps, nats a byte.

    Args:
        steps: updates made, rising.
        losses: validation losses, or means of the training loss over the last lines of the log.
        costs: what had been spent by then: steps, tokens, flops and seconds of training.
    """

    steps: np.ndarray
    losses: np.ndarray
    costs: dict[str, np.ndarray]

    def reached(self, target: float) -> dict[str, float] | None:
        """Return what had been spent at the first point with a loss of at most `target`; None: it has none."""
        below = np.flatnonzero(self.losses <= target)
        return {name: float(cost[below[0]]) for name, cost in self.costs.items()} if len(below) else None


def read_curve(done: Finished, metric: Metric, *, flops_per_step: int = 0, window: int = 10) -> Curve:
    """Return the curve of a finished run.

    Args:
        done: the run.
        metric: which loss.
        flops_per_step: of one update.
        window: lines of the log that a training loss is the mean of.
    """
    records = read_metrics(done.folder / LOG)
    points = [(r["step"], r[f"{metric}_loss"]) for r in records if f"{metric}_loss" in r]
    steps, losses = np.array([step for step, _ in points]), np.array([loss for _, loss in points])
    if metric == "train":
        width = min(window, len(losses))
        steps, losses = steps[width - 1 :], np.convolve(losses, np.ones(width) / width, mode="valid")
    config = done.run.config
    return Curve(
        steps=steps,
        losses=losses,
        costs={
            "steps": steps.astype(float),
            "tokens": steps.astype(float) * config.batch_size * config.model.context,
            "flops": steps.astype(float) * flops_per_step,
            "seconds": _seconds(records, steps),
        },
    )


def _seconds(records: Sequence[dict[str, float]], steps: np.ndarray) -> np.ndarray:
    """Return the time in updates up to each step: the log has the mean time of the updates since its last line."""
    timed = [(r["step"], r["step_ms"]) for r in records if "step_ms" in r]
    ends = np.array([0, *(step for step, _ in timed)], dtype=float)
    spent = np.concatenate(([0.0], np.cumsum(np.diff(ends) * np.array([ms for _, ms in timed]) / 1e3)))
    return np.asarray(np.interp(steps, ends, spent))
