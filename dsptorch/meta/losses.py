"""What a controller is given at a step, checked: losses, and functions that compute them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dsptorch.hyperparams import BoundedHyperparam
from dsptorch.meta.estimators.base import Estimator, Loss
from dsptorch.meta.estimators.rules import learned_hyperparams

__all__ = ["check_complete", "check_losses", "checked_loss"]


def check_complete(estimator: Estimator, known: Mapping[str, BoundedHyperparam]) -> None:
    """Refuse to start without a hyperparameter, or with one in the inner rule that nobody learns."""
    rule = getattr(estimator, "rule", None)
    for name, hyperparam in learned_hyperparams(rule).items() if hasattr(rule, "__dict__") else ():
        if hyperparam.raw.requires_grad and all(h is not hyperparam for h in known.values()):
            raise ValueError(
                f"the rule's {name} is a BoundedHyperparam that the controller does not learn; call "
                f'controller.sink("{name}", hyperparam) before the first step, with a setter for your optimizer, '
                "or freeze() it"
            )
    if not known:
        raise ValueError(
            "there is nothing to learn: the model holds no BoundedHyperparam that is not frozen, and no sink was "
            "given; put one into the model, or call controller.sink"
        )


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
    return _scalar("loss must be", loss).detach()


def checked_loss(name: str, function: Loss | None) -> Loss | None:
    """Return a function of the model that checks what it returns: one number, in float32 at least, with a gradient.

    Where no gradient is asked for, as in an evolution strategy, a plain number will do.
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
