"""The optimizer of the weights, as far as the controller has to do with it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from dsptorch.hyperparams import BoundedHyperparam, param_groups
from dsptorch.meta.estimators.rules import State

__all__ = ["Inner"]


class Inner:
    """What the optimizer of a model's weights steps, and what it remembers.

    Args:
        model: The model, without wrappers.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._optimizer: torch.optim.Optimizer | None = None

    def groups(
        self, weight_decay: float, hyperparams: Mapping[str, BoundedHyperparam]
    ) -> list[dict[str, Any]]:
        """The parameter groups of the weights, without these hyperparameters."""
        controlled = {id(h.raw) for h in hyperparams.values()}
        groups = param_groups(self._model, weight_decay=weight_decay)
        return [{**g, "params": [p for p in g["params"] if id(p) not in controlled]} for g in groups]

    def attach(self, optimizer: torch.optim.Optimizer, hyperparams: Mapping[str, BoundedHyperparam]) -> None:
        """Look at an optimizer from now on.

        Raises:
            TypeError, ValueError: If it is none, or holds one of these hyperparameters.
        """
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise TypeError(
                f"optimizer must be a torch.optim.Optimizer, got {type(optimizer).__name__}; a wrapper keeps the real "
                "one, often as .optimizer"
            )
        _refuse_held(optimizer, hyperparams)
        self._optimizer = optimizer

    def refuse_held(self, hyperparams: Mapping[str, BoundedHyperparam]) -> None:
        """Refuse hyperparameters that the attached optimizer steps, too."""
        if self._optimizer is not None:
            _refuse_held(self._optimizer, hyperparams)

    def state(self) -> State:
        """What the attached optimizer remembers, by the names of the weights."""
        if self._optimizer is None:
            return {}
        known = self._optimizer.state
        return {name: dict(known[p]) for name, p in self._model.named_parameters() if p in known}

    def decayed(self) -> frozenset[str]:
        """The names of the weights that decay."""
        decayed = {id(p) for p in param_groups(self._model, weight_decay=1.0)[0]["params"]}
        return frozenset(name for name, p in self._model.named_parameters() if id(p) in decayed)


def _refuse_held(optimizer: torch.optim.Optimizer, hyperparams: Mapping[str, BoundedHyperparam]) -> None:
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    both = [name for name, h in hyperparams.items() if id(h.raw) in held]
    if both:
        raise ValueError(
            f"expected an optimizer of the weights alone, got one that also steps {', '.join(both)}; make it of "
            "controller.inner_param_groups(weight_decay=...)"
        )
