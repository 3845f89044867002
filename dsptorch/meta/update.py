"""One meta-update: from the estimate to the controller's next state."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from dsptorch.hyperparams import BoundedHyperparam
from dsptorch.isolation import preserved
from dsptorch.meta.estimators.base import Estimate, Estimator, MetaStep, Scope
from dsptorch.meta.objectives import Losses, Objective
from dsptorch.meta.optimizers import Outer
from dsptorch.meta.schedule import newly_saturated
from dsptorch.meta.state import ControllerState, average
from dsptorch.meta.wrapped import Wrapped

__all__ = ["check_unchanged", "meta_loss", "update"]


def update(
    meta_step: MetaStep,
    estimator: Estimator,
    outer: Outer,
    state: ControllerState,
    decay: float,
    model: Wrapped,
) -> tuple[ControllerState, list[str]]:
    """Estimate the hypergradients, average them over processes, and move or skip.

    Args:
        meta_step: What the estimator computes with.
        estimator: Finds the hypergradients.
        outer: The outer optimizer, which moves the raw values.
        state: The controller's state before the update.
        decay: The decay of the moving average of the validation loss.
        model: The model, which knows the processes to average over.

    Returns:
        The controller's state after the update, and the warnings to give.

    Raises:
        ValueError: If the estimator has no path to a hyperparameter, at the first update.
    """
    with preserved(meta_step.scope, gradients=True, seed=meta_step.seed), torch.enable_grad():
        estimate = estimator.estimate(meta_step)
    loss, hypergradients, without = _agreed(meta_step, estimate, model)
    if without and meta_step.first:
        raise ValueError(f"{type(estimator).__name__} has no path to {', '.join(without)}: {estimator.hint}")
    judged = meta_step.objective(loss)
    wrong = [name for name, g in hypergradients.items() if not torch.isfinite(g.square()).all()]
    if wrong or not torch.isfinite(loss) or not torch.isfinite(judged):
        after = state.after_update(skipped=state.skipped + 1)
        return after, [
            f"meta-update at step {state.step} skipped, {after.skipped} so far: not finite at "
            f"{', '.join(wrong) or 'the loss'}; lower the learning rate of the weights, or look for an overflow"
        ]
    outer.move({name: g for name, g in hypergradients.items() if name not in without})
    record = {
        "step": state.step,
        "loss": loss.item(),
        "meta_loss": judged.item(),
        "value": {name: _numbers(h.value) for name, h in meta_step.hyperparams.items()},
        "hypergradient": {name: _numbers(g) for name, g in hypergradients.items()},
    }
    saturated = newly_saturated(meta_step.hyperparams, state.saturated)
    after = state.after_update(
        updates=state.updates + 1,
        val_ema=state.val_ema if meta_step.val_loss is None else average(state.val_ema, loss, decay),
        past=loss,
        expected=outer.raws(),
        saturated=(*state.saturated, *saturated),
        history=(*state.history, record),
    )
    return after, list(saturated.values())


def meta_loss(
    objective: Objective, ema: Tensor | None, past: Tensor | None, window: int, decay: float
) -> Callable[[Tensor], Tensor]:
    """Return an objective as a checked function of the loss; without a past, the loss takes its place."""

    def judge(loss: Tensor) -> Tensor:
        now = loss.detach()
        smoothed, before = (now if value is None else value.to(now) for value in (ema, past))
        result: Any = objective(Losses(loss, smoothed, before, window, decay))
        if not isinstance(result, Tensor) or result.numel() != 1 or result.is_complex():
            given = f"shape {tuple(result.shape)}" if isinstance(result, Tensor) else type(result).__name__
            raise TypeError(
                f"objective must return one real number as a tensor, got {given}; see dsptorch.meta.Losses"
            )
        if loss.requires_grad and not result.requires_grad:
            raise ValueError(
                "objective must be differentiable, got a result without a gradient; compute it of losses.loss, "
                "without detach() or item()"
            )
        judged: Tensor = result.reshape(())
        return judged

    return judge


def check_unchanged(
    scope: Scope, hyperparams: Mapping[str, BoundedHyperparam], state: ControllerState
) -> None:
    """Raise if other code has moved or replaced a hyperparameter.

    Two optimizers would undo each other's steps, and a hyperparameter outside the model has no effect.

    Raises:
        RuntimeError: It names the hyperparameter.
    """
    held = set(scope.modules())
    for name, hyperparam in hyperparams.items():
        if hyperparam not in held:
            raise RuntimeError(
                f"expected {name} in the model, where the controller found it, got a model without it: it was taken "
                "out or replaced; make a new controller, after all changes to the model"
            )
        if not torch.equal(hyperparam.raw.detach(), state.expected[name].to(hyperparam.raw)):
            raise RuntimeError(
                f"expected {name} as the controller left it, got another value: somebody else changed it; make your "
                "optimizer of controller.inner_param_groups(weight_decay=...), and freeze() what you set by hand"
            )


def _agreed(
    meta_step: MetaStep, estimate: Estimate, model: Wrapped
) -> tuple[Tensor, dict[str, Tensor], list[str]]:
    """The loss, the hypergradients, and the names to which no process has a path."""
    found = {name: estimate.hypergradients.get(name) for name in meta_step.hyperparams}
    filled = []
    for name, gradient in found.items():
        raw = meta_step.hyperparams[name].raw
        if gradient is not None and gradient.shape != raw.shape:
            raise ValueError(
                f"expected a hypergradient of {name} of shape {tuple(raw.shape)}, got {tuple(gradient.shape)}; "
                "the estimator must return one of the raw value's shape"
            )
        filled.append(torch.zeros_like(raw) if gradient is None else gradient)
    missing = torch.tensor([float(gradient is None) for gradient in found.values()])
    loss, missing, *gradients = model.all_reduce_mean([estimate.loss, missing, *filled])
    without = [name for name, share in zip(found, missing.tolist(), strict=True) if share == 1]
    return loss, dict(zip(found, gradients, strict=True)), without


def _numbers(value: Tensor) -> float | list[float]:
    """A number, or a list of several, as JSON holds it."""
    numbers: list[float] = value.detach().flatten().tolist()
    return numbers[0] if len(numbers) == 1 else numbers
