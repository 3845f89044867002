"""The first-order estimator."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from dsptorch.meta.estimators.base import Estimate, MetaStep

__all__ = ["Direct"]


@dataclass(frozen=True)
class Direct:
    """Differentiate the loss by the hyperparameters, with fixed weights.

        dL_meta/dz ~ dL_meta(w, z)/dz

    It measures the effect of a hyperparameter on the current forward pass, not on training. An update costs one forward
    and backward pass. Without `val_loss` and `train_loss` it costs nothing: it uses the gradients of the raw values
    from training since the last update.

    With this estimator the three corrected objectives give the same algorithm, because Adam cancels positive factors.

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
        """Compute the derivative on one batch, or use the mean of the gradients of training."""
        if meta_step.val_loss is None and meta_step.train_loss is None:
            return _from_training(meta_step)
        loss = meta_step.target(meta_step.callable)
        raws = [h.raw for h in meta_step.hyperparams.values()]
        gradients = torch.autograd.grad(meta_step.scale * meta_step.objective(loss), raws, allow_unused=True)
        unscaled = [None if g is None else g / meta_step.scale for g in gradients]
        return Estimate(loss.detach(), dict(zip(meta_step.hyperparams, unscaled, strict=True)))


def _from_training(meta_step: MetaStep) -> Estimate:
    """Chain the objective with the existing gradients of the training loss."""
    loss = meta_step.mean_loss.detach().requires_grad_()
    (factor,) = torch.autograd.grad(meta_step.objective(loss), loss)
    chained = {name: None if g is None else factor.to(g) * g for name, g in meta_step.accumulated.items()}
    return Estimate(loss.detach(), chained)
