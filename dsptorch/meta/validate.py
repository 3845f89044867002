"""Checks of the arguments of a controller and of the losses of a step."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dsptorch.hyperparams import BoundedHyperparam, named_hyperparams
from dsptorch.meta.estimators.base import Estimator, Loss
from dsptorch.meta.estimators.direct import Direct
from dsptorch.meta.estimators.evolution import EvolutionStrategy
from dsptorch.meta.estimators.rules import learned_hyperparams
from dsptorch.meta.objectives import OBJECTIVES, Objective
from dsptorch.meta.wrapped import Wrapped

__all__ = [
    "check_addition",
    "check_complete",
    "check_losses",
    "check_scaler",
    "checked_loss",
    "chosen_hyperparams",
    "refuse_twice",
    "to_estimator",
    "to_number",
    "to_objective",
]

_ESTIMATORS: dict[str, Callable[[], Estimator]] = {"direct": Direct, "es": EvolutionStrategy}
_MEMBERS = ("estimate", "requires", "allows_wrappers", "hint")


def to_number(name: str, value: Any, least: float, below: float) -> float:
    """Check that an argument is a finite number in [least, below), and return it."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, got {value!r} of type {type(value).__name__}")
    if not least <= value < below or not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number in [{least:g}, {below:g}), got {value}")
    return float(value)


def to_objective(objective: str | Objective) -> Objective:
    """Return an objective by name, or the given function."""
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
    """Return an estimator by name with its defaults, or the given object."""
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
    return estimator


def chosen_hyperparams(model: nn.Module, names: Iterable[str] | None) -> dict[str, BoundedHyperparam]:
    """Return the hyperparameters of a model to be learned: the named ones, or all that are not frozen."""
    found = dict(named_hyperparams(model))
    if names is None:
        return {name: h for name, h in found.items() if h.raw.requires_grad}
    if isinstance(names, str):
        raise TypeError(f"hyperparams must be a list of names, got the string {names!r}; give [{names!r}]")
    if not isinstance(names, Iterable):
        raise TypeError(f"hyperparams must be a list of names, or None for all, got {type(names).__name__}")
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


def check_scaler(scaler: Any) -> None:
    """Raise unless this is a gradient scaler, or None."""
    if scaler is not None and not callable(getattr(scaler, "get_scale", None)):
        raise TypeError(f"scaler must be a torch.amp.GradScaler or None, got {type(scaler).__name__}")


def check_addition(
    name: Any,
    hyperparam: Any,
    setter: Any,
    known: Mapping[str, BoundedHyperparam],
    estimator: Estimator,
    step: int,
) -> None:
    """Refuse a hyperparameter that cannot be added to the known ones at this step."""
    if step:
        raise ValueError(
            f"add_hyperparam must come before the first step, got {name!r} after {step}; call it where you make the "
            "controller"
        )
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {name!r} of type {type(name).__name__}")
    if not isinstance(hyperparam, BoundedHyperparam):
        raise TypeError(f"hyperparam must be a BoundedHyperparam, got {type(hyperparam).__name__}")
    if setter is not None and not callable(setter):
        raise TypeError(
            f"setter must be a function of the value, or None, got {type(setter).__name__}; as in "
            'lambda p: setattr(dropout, "p", p)'
        )
    if not hyperparam.raw.requires_grad:
        raise ValueError(f"{name!r} is frozen; leave it out, or call requires_grad_() on it")
    if name in known or any(h is hyperparam for h in known.values()):
        raise ValueError(f"{name!r} is learned already; learned are: {', '.join(known)}")
    if setter is not None and isinstance(estimator, Direct):
        raise ValueError(
            f"Direct has no path to {name!r}, which a setter hands on as a number; use EvolutionStrategy, or let "
            "the loss read the hyperparameter as a tensor, without a setter"
        )


def refuse_twice(model: Wrapped, estimator: Estimator) -> None:
    """Refuse an estimator that differentiates twice if the model does not allow it."""
    if not (model.second_order or estimator.allows_wrappers):
        raise ValueError(
            f"{type(estimator).__name__} differentiates twice, which a model under torch.compile or "
            "DistributedDataParallel does not allow; give the model itself, or use 'direct' or 'es'"
        )


def check_complete(estimator: Estimator, known: Mapping[str, BoundedHyperparam]) -> None:
    """Refuse to start without a hyperparameter, or with an unlearned hyperparameter in the inner rule."""
    rule = getattr(estimator, "rule", None)
    for name, hyperparam in learned_hyperparams(rule).items() if hasattr(rule, "__dict__") else ():
        if hyperparam.raw.requires_grad and all(h is not hyperparam for h in known.values()):
            raise ValueError(
                f"the rule's {name} is a BoundedHyperparam that the controller does not learn; call "
                f'controller.add_hyperparam("{name}", hyperparam) before the first step, with a setter for your '
                "optimizer, or freeze() it"
            )
    if not known:
        raise ValueError(
            "there is nothing to learn: the model holds no BoundedHyperparam that is not frozen, and none was "
            "added; put one into the model, or call controller.add_hyperparam"
        )


def check_losses(
    loss: float | Tensor, train_loss: Loss | None, val_loss: Loss | None, estimator: Estimator
) -> Tensor:
    """Check that a step has all arguments that the estimator needs, and return the training loss, detached."""
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
    return _scalar("loss must be", loss).detach()


def checked_loss(name: str, function: Loss | None) -> Loss | None:
    """Wrap a loss so that its result is checked: one number, in float32 at least, with a gradient.

    Without gradients, as in an evolution strategy, a plain number is accepted.
    """
    if function is None:
        return None

    def checked(model: nn.Module) -> Tensor:
        loss: Any = function(model)
        if isinstance(loss, (int, float)) and not torch.is_grad_enabled():
            return torch.tensor(float(loss))
        if not isinstance(loss, Tensor):
            raise TypeError(
                f"{name} must return a tensor of one element with its gradient, got {type(loss).__name__}; return the "
                "loss itself, not loss.item()"
            )
        scalar = _scalar(f"{name} must return", loss)
        if torch.is_grad_enabled() and not scalar.requires_grad:
            raise ValueError(
                f"{name} must return a loss that carries a gradient, got one without; compute it from the model that "
                "it is given, outside torch.no_grad(), and without detach()"
            )
        return scalar

    return checked


def _scalar(what: str, loss: Tensor) -> Tensor:
    """A loss of one element, as a scalar of float32 at least."""
    if loss.numel() != 1 or loss.is_complex():
        raise ValueError(
            f"{what} one real number, got shape {tuple(loss.shape)}, {loss.dtype}; take its mean"
        )
    return loss.reshape(()) if loss.dtype == torch.float64 else loss.reshape(()).float()
