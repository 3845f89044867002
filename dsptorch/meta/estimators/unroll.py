"""An estimator that differentiates through steps of training."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from dsptorch.functional.validate import check_int
from dsptorch.meta.estimators.base import Estimate, MetaStep
from dsptorch.meta.estimators.rules import Rule, State, Tensors

__all__ = ["Unroll", "check_rule", "inner_gradients", "inner_step"]


@dataclass(frozen=True)
class Unroll:
    """Differentiate the loss after a few steps of training through these steps.

        w_0 = w;   w_(k+1) = rule(w_k, dL_train(w_k, z)/dw);   dL_meta(w_T, z)/dz

    The steps run on copies, so the model does not change. Memory and time are about three times those of `steps`
    training steps. A short horizon is biased towards short-term gains: small learning rates, little noise (Wu et al.,
    2018).

    Args:
        rule: The inner optimizer's rule. Its hyperparameters, such as its learning rate, can be learned.
        steps: Number of steps T, at least 1.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    Example:
        >>> from dsptorch.meta import MetaController, SGDRule
        >>> controller = MetaController(torch.nn.Linear(4, 1), estimator=Unroll(SGDRule(lr=0.1), steps=5))

    References:
        D. Maclaurin et al., Gradient-based Hyperparameter Optimization through Reversible Learning, ICML 2015.
        Y. Wu et al., Understanding Short-Horizon Bias in Stochastic Meta-Optimization, ICLR 2018.
    """

    requires: ClassVar[tuple[str, ...]] = ("train_loss",)
    allows_wrappers: ClassVar[bool] = False
    hint: ClassVar[str] = (
        "neither the losses nor the rule read it as a tensor; give it to the rule, as in SGDRule(lr=hyperparam), "
        "or use EvolutionStrategy, which needs no derivative"
    )

    rule: Rule
    steps: int = 1

    def __post_init__(self) -> None:
        """Check the rule and the number of steps."""
        check_rule(self.rule)
        check_int("steps", self.steps, least=1)

    def estimate(self, meta_step: MetaStep) -> Estimate:
        """Run the steps on copies, and differentiate through them."""
        raws, weights, buffers = meta_step.raws(), meta_step.weights(), meta_step.buffers()
        state = self.rule.start(weights, meta_step.optimizer_state)
        with sdpa_kernel(SDPBackend.MATH):  # the fused kernels have no second derivative
            for _ in range(self.steps):
                gradients = inner_gradients(meta_step, weights, raws, buffers)
                weights, state = inner_step(meta_step, self.rule, weights, gradients, state, raws)
            loss = meta_step.run(meta_step.target, raws=raws, weights=weights, buffers=buffers)
            found = torch.autograd.grad(meta_step.objective(loss), list(raws.values()), allow_unused=True)
        return Estimate(loss.detach(), dict(zip(raws, found, strict=True)))


def inner_gradients(
    meta_step: MetaStep, weights: Tensors, raws: Tensors, buffers: Tensors, *, differentiable: bool = True
) -> Tensors:
    """The gradients of the training loss by the weights, on a batch that the loss draws; 0 for unused weights."""
    if not weights:
        raise ValueError(
            "expected weights that train, got none: all parameters are frozen or hyperparameters; use Direct, or an "
            "EvolutionStrategy without a horizon"
        )
    if meta_step.train_loss is None:
        raise ValueError("expected train_loss, got none; give controller.step(loss, train_loss=...)")
    loss = meta_step.run(meta_step.train_loss, raws=raws, weights=weights, buffers=buffers)
    gradients = torch.autograd.grad(
        loss, list(weights.values()), create_graph=differentiable, allow_unused=True, materialize_grads=True
    )
    return dict(zip(weights, gradients, strict=True))


def inner_step(
    meta_step: MetaStep, rule: Rule, weights: Tensors, gradients: Tensors, state: State, raws: Tensors
) -> tuple[Tensors, State]:
    """Weights and memory after a step of the rule with the given raw hyperparameters."""
    return meta_step.run(lambda _: rule.step(weights, gradients, state, meta_step.decayed), raws=raws)


def check_rule(rule: object) -> None:
    """Refuse an object that is not a rule."""
    if not (callable(getattr(rule, "start", None)) and callable(getattr(rule, "step", None))):
        raise TypeError(
            f"rule must have the methods start and step, as SGDRule(lr=0.1) or AdamRule(lr=3e-4) have, got {rule!r}; "
            "give the rule of the optimizer of your weights"
        )
