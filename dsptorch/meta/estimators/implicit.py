"""An estimator that assumes that the weights are at an optimum."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from dsptorch.functional.validate import check_finite, check_int
from dsptorch.meta.estimators.base import Estimate, MetaStep
from dsptorch.meta.estimators.rules import SGDRule, learned_hyperparams
from dsptorch.meta.estimators.unroll import inner_gradients, inner_step

__all__ = ["Implicit"]

Vectors = list[Tensor]


@dataclass(frozen=True)
class Implicit:
    """Differentiate the loss through the optimum of training, by the implicit function theorem.

        w* = F(w*, z),  F one step of the rule;     dL_meta/dz = dL_meta/dz + dL_meta/dw (I - dF/dw)^-1 dF/dz

    For gradient descent dF/dw = I - lr H, where H is the Hessian of the training loss. The inverse is a Neumann series
    with `terms` terms (one term is T1-T2), which equals differentiating through that number of steps from the optimum,
    or is solved by conjugate gradients. The estimate is accurate near an optimum. It does not depend on how the weights
    got there, so it cannot learn learning rates and schedules.

    Args:
        rule: SGDRule without momentum, in place of any optimizer, because the optimum is the same. For the Neumann
            series, lr must be below 2 / (greatest eigenvalue of H), or the series diverges.
        terms: Number of terms of the series, or maximum number of iterations of conjugate gradients, at least 1.
        solver: "neumann" or "cg".
        tolerance: Conjugate gradients stop at this ratio of the residual's norm to its initial norm.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    Example:
        >>> from dsptorch.meta import MetaController, SGDRule
        >>> estimator = Implicit(SGDRule(lr=0.1), terms=20)
        >>> controller = MetaController(torch.nn.Linear(4, 1), estimator=estimator)

    References:
        J. Luketina et al., Scalable Gradient-Based Tuning of Continuous Regularization Hyperparameters, ICML 2016
        (T1-T2).
        J. Lorraine et al., Optimizing Millions of Hyperparameters by Implicit Differentiation, AISTATS 2020,
        Algorithm 3 (the series).
        F. Pedregosa, Hyperparameter Optimization with Approximate Gradient, ICML 2016 (conjugate gradients).
    """

    requires: ClassVar[tuple[str, ...]] = ("train_loss", "val_loss")
    allows_wrappers: ClassVar[bool] = False
    hint: ClassVar[str] = (
        "neither the losses nor the rule read it as a tensor; a weight decay can be given to the rule, for "
        "anything else use EvolutionStrategy, which needs no derivative"
    )

    rule: SGDRule
    terms: int = 10
    solver: str = "neumann"
    tolerance: float = 1e-10

    def __post_init__(self) -> None:
        """Raise if a step of the rule does not determine an optimum."""
        if not isinstance(self.rule, SGDRule) or self.rule.momentum:
            raise TypeError(
                f"rule must be SGDRule(lr=...) without momentum, got {self.rule!r}; the optimum is the same, "
                "and the derivative of a step with a memory is not the Hessian's"
            )
        if "lr" in learned_hyperparams(self.rule):
            raise ValueError(
                "the rule's lr must be a number, got a BoundedHyperparam: an optimum does not depend on it; "
                "learn it with Unroll or EvolutionStrategy"
            )
        check_int("terms", self.terms, least=1)
        if self.solver not in ("neumann", "cg"):
            raise ValueError(f"solver must be 'neumann' or 'cg', got {self.solver!r}")
        if not 0 <= check_finite("tolerance", self.tolerance) < 1:
            raise ValueError(f"tolerance must be a number in [0, 1), got {self.tolerance}")

    def estimate(self, meta_step: MetaStep) -> Estimate:
        """Solve for the adjoint, and chain it with the derivative of one step."""
        # The solution does not depend on lr, but a small lr H would be lost beside the I of dF/dw = I - lr H.
        rule = replace(self.rule, lr=1.0) if self.solver == "cg" else self.rule
        raws, weights = meta_step.raws(), meta_step.weights()
        by, at = list(raws.values()), list(weights.values())
        with sdpa_kernel(SDPBackend.MATH):  # the fused kernels have no second derivative
            loss = meta_step.run(meta_step.target, raws=raws, weights=weights, buffers=meta_step.buffers())
            outer = torch.autograd.grad(meta_step.objective(loss), at + by, allow_unused=True)
            direct, adjoint = outer[len(at) :], _filled(outer[: len(at)], at)
            gradients = inner_gradients(meta_step, weights, raws, meta_step.buffers())
            stepped, _ = inner_step(meta_step, rule, weights, gradients, rule.start(weights, {}), raws)
            moved = [stepped[name] for name in weights]

            def through(vector: Vectors) -> Vectors:
                found = torch.autograd.grad(moved, at, vector, retain_graph=True, allow_unused=True)
                return _filled(found, at)

            if self.solver == "cg":
                adjoint = _conjugate_gradients(through, adjoint, self.terms, self.tolerance)
            else:
                adjoint = _neumann(through, adjoint, self.terms)
            indirect = torch.autograd.grad(moved, by, adjoint, allow_unused=True)
        both = {name: _sum(*pair) for name, *pair in zip(raws, direct, indirect, strict=True)}
        return Estimate(loss.detach(), both)


def _neumann(through: Callable[[Vectors], Vectors], vector: Vectors, terms: int) -> Vectors:
    """The first terms of v (I + J + J^2 + ...), with `through` for v -> v J."""
    total, term = vector, vector
    for _ in range(terms - 1):
        term = through(term)
        total = [t + n for t, n in zip(total, term, strict=True)]
    return total


def _conjugate_gradients(
    through: Callable[[Vectors], Vectors], vector: Vectors, most: int, tolerance: float
) -> Vectors:
    """Solve (I - J) x = v for a symmetric J; stops with a warning if the curvature is not positive."""
    x = [torch.zeros_like(v) for v in vector]
    residual = direction = vector
    square = first = _dot(residual, residual)
    for _ in range(most):
        if square <= tolerance**2 * first:
            break
        image = [d - t for d, t in zip(direction, through(direction), strict=True)]
        curvature = _dot(direction, image)
        if curvature <= 0:
            warnings.warn(
                "conjugate gradients met a direction in which the training loss curves downwards and stopped there: "
                "the weights are not near a minimum; train longer between updates (every=), or use Unroll",
                stacklevel=2,
            )
            break
        length = square / curvature
        x = [a + length * d for a, d in zip(x, direction, strict=True)]
        residual = [r - length * i for r, i in zip(residual, image, strict=True)]
        before, square = square, _dot(residual, residual)
        direction = [r + square / before * d for r, d in zip(residual, direction, strict=True)]
    return x


def _dot(a: Vectors, b: Vectors) -> Tensor:
    return torch.stack([(x * y).sum() for x, y in zip(a, b, strict=True)]).sum()


def _filled(found: tuple[Tensor | None, ...], like: Vectors) -> Vectors:
    return [torch.zeros_like(b) if a is None else a for a, b in zip(found, like, strict=True)]


def _sum(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return a if b is None else b if a is None else a + b
