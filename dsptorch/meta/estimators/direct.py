"""The first-order estimator."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from dsptorch.meta.estimators.base import Estimate, MetaStep

__all__ = ["Direct"]


@dataclass(frozen=True)
class Direct:
    """Differentiate the loss by the hyperparameters, with the weights as they are.

        dL_meta/dz ~ dL_meta(w, z)/dz

    It sees the effect of a hyperparameter on the present forward pass, not its effect on training. It costs one
    forward and backward pass an update. Without `val_loss` and `train_loss` it costs none: it takes the gradients that
    training has left at the raw values since the last update.

    Under Adam, which undoes positive factors, the three corrected objectives are one algorithm with it.

    Example:
        >>> from dsptorch import MetaController, Multirate
        >>> controller = MetaController(Multirate(4), every=1, estimator=Direct())
        >>> record = controller.step(0.0, val_loss=lambda m: m(torch.ones(1, 9, 4)).square().mean())
        >>> sorted(record["hypergradient"])
        ['detail_strength', 'mix_ratio']

    References:
        J. Luketina et al., Scalable Gradient-Based Tuning of Continuous Regularization Hyperparameters, ICML 2016
        (the direct term).
    """

    requires: ClassVar[tuple[str, ...]] = ()
    allows_wrappers: ClassVar[bool] = True
    hint: ClassVar[str] = (
        "it does not enter the forward pass of this loss as a tensor (a learning rate, a weight decay, a dropout "
        "rate do not); use EvolutionStrategy or Unroll, or take it out of `hyperparams`. Or its gradient was "
        "cleared: call controller.step after loss.backward(), and optimizer.zero_grad(), not model.zero_grad()"
    )

    def estimate(self, meta_step: MetaStep) -> Estimate:
        """Take the derivative at one batch, or the mean of those of training."""
        if meta_step.val_loss is None and meta_step.train_loss is None:
            return _from_training(meta_step)
        loss = meta_step.target(meta_step.callable)
        raws = [h.raw for h in meta_step.hyperparams.values()]
        gradients = torch.autograd.grad(meta_step.scale * meta_step.objective(loss), raws, allow_unused=True)
        unscaled = [None if g is None else g / meta_step.scale for g in gradients]
        return Estimate(loss.detach(), dict(zip(meta_step.hyperparams, unscaled, strict=True)))


def _from_training(meta_step: MetaStep) -> Estimate:
    """Chain the objective to the gradients of the training loss that are there already."""
    loss = meta_step.mean_loss.detach().requires_grad_()
    (factor,) = torch.autograd.grad(meta_step.objective(loss), loss)
    chained = {name: None if g is None else factor.to(g) * g for name, g in meta_step.accumulated.items()}
    return Estimate(loss.detach(), chained)
