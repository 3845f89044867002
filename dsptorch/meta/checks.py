"""What a controller warns of: knobs that cannot move, and knobs that have come to an end."""

from collections.abc import Mapping

import torch

from dsptorch.hyperparams import BoundedHyperparam

__all__ = ["newly_saturated", "still"]

_LEAST = 0.05  # of the interval: what a run must be able to move a value by
_SATURATED = 0.98  # a saturation: within 0.5 % of the interval from a bound


def still(hyperparams: Mapping[str, BoundedHyperparam], lr: float, updates: int) -> str | None:
    """Return a warning if so many updates cannot move a hyperparameter by 5 % of its interval, else None.

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
    """Return a warning for each hyperparameter that is within 0.5 % of a bound, those known already left out."""
    return {
        name: f"{name} has come to a bound of its interval ({hyperparam}), where it hardly learns any more; widen the "
        "interval, or fix the value"
        for name, hyperparam in hyperparams.items()
        if name not in known and hyperparam.saturation().max() > _SATURATED
    }
