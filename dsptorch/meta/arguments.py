"""From the arguments of a controller to what it works with."""

import math
from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn

from dsptorch.hyperparams import BoundedHyperparam, named_hyperparams
from dsptorch.meta.direct import Direct
from dsptorch.meta.evolution import EvolutionStrategy
from dsptorch.meta.objectives import OBJECTIVES, Objective
from dsptorch.meta.problem import Estimator, Loss

__all__ = ["check_losses", "chosen_hyperparams", "to_estimator", "to_number", "to_objective"]

_ESTIMATORS = {"direct": Direct, "es": EvolutionStrategy}
_MEMBERS = ("estimate", "requires", "wrapped", "cure")


def to_number(name: str, value: Any, least: float, below: float) -> float:
    """Return a finite number in [least, below), or refuse it."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, got {value!r} of type {type(value).__name__}")
    if not least <= value < below or not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number in [{least:g}, {below:g}), got {value}")
    return float(value)


def to_objective(objective: str | Objective) -> Objective:
    """Return the objective of a name, or the function itself."""
    if isinstance(objective, str):
        if objective not in OBJECTIVES:
            raise ValueError(
                f"objective must be a function or one of {', '.join(OBJECTIVES)}, got {objective!r}"
            )
        return OBJECTIVES[objective]
    if not callable(objective):
        raise TypeError(f"objective must be a name or a function of Losses, got {objective!r}")
    return objective


def to_estimator(estimator: str | Estimator) -> Estimator:
    """Return the estimator of a name with its defaults, or the object itself."""
    if isinstance(estimator, str):
        if estimator in _ESTIMATORS:
            return _ESTIMATORS[estimator]()
        if estimator in ("unroll", "implicit"):
            raise ValueError(
                f"estimator={estimator!r} needs the rule of the inner optimizer; give "
                f"{estimator.capitalize()}(SGDRule(lr=...)), of dsptorch.meta"
            )
        raise ValueError(f"estimator must be 'direct', 'es' or an object, got {estimator!r}")
    if isinstance(estimator, type) or not all(hasattr(estimator, member) for member in _MEMBERS):
        raise TypeError(
            f"estimator must be 'direct', 'es' or an object with {', '.join(_MEMBERS)}, got {estimator!r}; "
            "as in estimator=Unroll(SGDRule(lr=0.1), steps=5)"
        )
    return cast(Estimator, estimator)


def chosen_hyperparams(model: nn.Module, names: Iterable[str] | None) -> dict[str, BoundedHyperparam]:
    """Return the hyperparameters of a model that are to learn: those named, or all that are not frozen."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {model!r} of type {type(model).__name__}")
    found = dict(named_hyperparams(model))
    if names is None:
        return {name: h for name, h in found.items() if h.raw.requires_grad}
    if isinstance(names, str):
        raise TypeError(f"hyperparams must be a list of names, got the string {names!r}; give [{names!r}]")
    names = list(names)
    for name in names:
        if name not in found:
            raise ValueError(
                f"hyperparams must be names of BoundedHyperparams of the model, got {name!r}; "
                f"there are: {', '.join(found) or 'none'}"
            )
        if not found[name].raw.requires_grad:
            raise ValueError(f"{name!r} is frozen; leave it out, or call requires_grad_() on it")
    return {name: found[name] for name in names}


def check_losses(
    loss: float | Tensor, train_loss: Loss | None, val_loss: Loss | None, estimator: Estimator
) -> Tensor:
    """Return the training loss, detached, if all arguments of a step are what the estimator needs."""
    for name, function in (("train_loss", train_loss), ("val_loss", val_loss)):
        if function is None and name in estimator.requires:
            raise ValueError(
                f"{type(estimator).__name__} needs {name}, got none; give controller.step(loss, "
                f"{name}=lambda m: loss_fn(m, next(data)))"
            )
        if function is not None and not callable(function):
            raise TypeError(
                f"{name} must be a function of the model, got {type(function).__name__}; give "
                f"{name}=lambda m: loss_fn(m, next(data))"
            )
    if not isinstance(loss, Tensor):
        if isinstance(loss, bool) or not isinstance(loss, (int, float)):
            raise TypeError(f"loss must be a number or a tensor of one element, got {type(loss).__name__}")
        return torch.tensor(float(loss))
    if loss.numel() != 1 or loss.is_complex():
        raise ValueError(f"loss must be one real number, got shape {tuple(loss.shape)}; take its mean")
    return loss.detach().reshape(()).float() if loss.dtype != torch.float64 else loss.detach().reshape(())
