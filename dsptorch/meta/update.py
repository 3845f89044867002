"""One meta-update, from the estimate to where the controller stands after it."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from dsptorch.meta.checks import newly_saturated
from dsptorch.meta.models import untouched
from dsptorch.meta.outer import Outer
from dsptorch.meta.problem import Estimator, Problem
from dsptorch.meta.progress import Progress, average

__all__ = ["check_unchanged", "update"]


def update(
    problem: Problem,
    estimator: Estimator,
    outer: Outer,
    progress: Progress,
    *,
    decay: float,
    agree: Callable[[Sequence[Tensor]], list[Tensor]],
) -> tuple[Progress, list[str]]:
    """Estimate, agree and move, or skip; return where the controller stands then, and what to warn of.

    Args:
        problem: What there is to compute with.
        estimator: What estimates.
        outer: What moves.
        progress: Where the controller stands.
        decay: Of the moving average of the validation loss.
        agree: Makes tensors the same on all processes.

    Raises:
        ValueError: If the estimator has no path to a hyperparameter, at the first update.
    """
    with untouched(problem.scope.model, problem.seed):
        estimate = estimator.estimate(problem)
    found = {name: estimate.hypergradients.get(name) for name in problem.hyperparams}
    without = [name for name, gradient in found.items() if gradient is None]
    if without and problem.first:
        raise ValueError(f"{type(estimator).__name__} has no path to {', '.join(without)}: {estimator.cure}")
    filled = (torch.zeros_like(problem.hyperparams[n].raw) if g is None else g for n, g in found.items())
    loss, *gradients = agree([estimate.loss, *filled])
    hypergradients = dict(zip(found, gradients, strict=True))

    wrong = [name for name, g in hypergradients.items() if not torch.isfinite(g.square()).all()]
    if wrong or not torch.isfinite(loss):
        after = progress.after_update(skipped=progress.skipped + 1)
        return after, [
            f"meta-update at step {progress.step} skipped, {after.skipped} so far: not finite at "
            f"{', '.join(wrong) or 'the loss'}; lower the learning rate of the weights, or look for an overflow"
        ]
    meta_loss = problem.objective(loss)
    outer.move(hypergradients)
    record = {
        "step": progress.step,
        "loss": loss.item(),
        "meta_loss": meta_loss.item(),
        "value": {name: _plain(h.value) for name, h in problem.hyperparams.items()},
        "hypergradient": {name: _plain(g) for name, g in hypergradients.items()},
    }
    saturated = newly_saturated(problem.hyperparams, progress.saturated)
    after = progress.after_update(
        updates=progress.updates + 1,
        val_ema=progress.val_ema if problem.val_loss is None else average(progress.val_ema, loss, decay),
        past=loss,
        expected=outer.raws(),
        saturated=(*progress.saturated, *saturated),
        history=(*progress.history, record),
    )
    return after, list(saturated.values())


def check_unchanged(outer: Outer, progress: Progress) -> None:
    """Refuse to go on where somebody else moved a hyperparameter: two optimizers would undo each other's work.

    Raises:
        RuntimeError: With the name.
    """
    for name, hyperparam in outer.active().items():
        if not torch.equal(hyperparam.raw.detach(), progress.expected[name].to(hyperparam.raw)):
            raise RuntimeError(
                f"expected {name} as the controller left it, got another value: somebody else changed it; make your "
                "optimizer of controller.inner_param_groups(weight_decay=...), and freeze() what you set by hand"
            )


def _plain(value: Tensor) -> float | list[float]:
    """A number, or a list of several, as JSON holds it."""
    numbers: list[float] = value.detach().flatten().tolist()
    return numbers[0] if len(numbers) == 1 else numbers
