"""The schedule of a controller, and its warnings: values that cannot move, and values at a bound."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from dsptorch.functional.validate import check_int
from dsptorch.hyperparams import BoundedHyperparam

__all__ = ["Schedule", "immobile_warning", "newly_saturated"]

_LEAST = 0.05  # a run must be able to move a value by this part of its interval
_SATURATED = 0.98  # a saturation: within 0.5 % of the interval from a bound


def immobile_warning(hyperparams: Mapping[str, BoundedHyperparam], lr: float, updates: int) -> str | None:
    """Return a warning if `updates` updates cannot move a hyperparameter by 5 % of its interval, else None.

    One update of Adam moves a raw value by about lr at the most.
    """
    names = []
    for name, hyperparam in hyperparams.items():
        raw = hyperparam.raw.detach().double()
        here = torch.sigmoid(raw)
        reached = (torch.sigmoid(raw + side * lr * updates) for side in (1, -1))
        most = max((there - here).abs().max().item() for there in reached)
        if most < _LEAST:
            names.append(f"{name} ({100 * most:.2g} %)")
    if not names:
        return None
    return (
        f"{updates} updates of lr={lr:g} cannot move these by {100 * _LEAST:g} % of their intervals: "
        f"{', '.join(names)}; raise lr, lower every, or hold them fixed"
    )


def newly_saturated(hyperparams: Mapping[str, BoundedHyperparam], known: tuple[str, ...]) -> dict[str, str]:
    """Return a warning for each hyperparameter newly within 0.5 % of a bound."""
    return {
        name: f"{name} has come to a bound of its interval ({hyperparam}), where it hardly learns any more; widen the "
        "interval, or fix the value"
        for name, hyperparam in hyperparams.items()
        if name not in known and hyperparam.saturation().max() > _SATURATED
    }


@dataclass(frozen=True)
class Schedule:
    """When a controller updates; the arguments are those of MetaController.

    Args:
        every: Training steps between two updates, at least 1.
        warmup: Training steps before the first such interval begins, at least 0.
        freeze_at: The training step after which nothing moves any more; None is never.
        total_steps: The training steps that are planned, where that is known.

    Raises:
        TypeError, ValueError: If one is not as described.
    """

    every: int
    warmup: int
    freeze_at: int | None
    total_steps: int | None

    def __post_init__(self) -> None:
        """Raise unless all are numbers of steps."""
        check_int("every", self.every, least=1)
        check_int("warmup", self.warmup, least=0)
        if self.freeze_at is not None:
            check_int("freeze_at", self.freeze_at, least=0)
        if self.total_steps is not None:
            check_int("total_steps", self.total_steps, least=1)

    def rests(self, step: int) -> bool:
        """Whether a training step is ignored: in the warm-up, or after the end."""
        return step <= self.warmup or (self.freeze_at is not None and step > self.freeze_at)

    def updates(self, step: int) -> bool:
        """Whether there is an update after a training step; the first is step 1."""
        return not self.rests(step) and (step - self.warmup) % self.every == 0

    def warning(self, hyperparams: Mapping[str, BoundedHyperparam], lr: float) -> str | None:
        """Return a warning if the planned steps are too few to move these hyperparameters, else None."""
        if self.total_steps is None:
            return None
        last = self.total_steps if self.freeze_at is None else min(self.total_steps, self.freeze_at)
        return immobile_warning(hyperparams, lr, max(0, last - self.warmup) // self.every)
