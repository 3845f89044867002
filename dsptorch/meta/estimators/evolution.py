"""A derivative-free estimator of the hypergradient."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dsptorch.functional.validate import check_finite, check_int
from dsptorch.meta.estimators.base import Estimate, MetaStep
from dsptorch.meta.estimators.replay import Tape, taping
from dsptorch.meta.estimators.rules import Rule, Tensors
from dsptorch.meta.estimators.unroll import check_rule, inner_gradients, inner_step

__all__ = ["EvolutionStrategy"]

_FAR = 2.0  # on the raw scale: from the middle of an interval to 88 % of it


@dataclass(frozen=True)
class EvolutionStrategy:
    """Estimate the hypergradient from losses only, at pairs of hyperparameters on both sides of the current ones.

        g = mean over pairs of (L_meta(z + sigma e) - L_meta(z - sigma e)) / (2 sigma) * e,    e ~ N(0, I)

    It estimates the derivative of the loss smoothed over a distance sigma, so it works for any hyperparameter,
    including integers and dropout rates. Both sides of a pair use the same batches and the same random numbers:
    torch's global generator gets the same seed, and a `Replay` repeats its batches.

    With a horizon, each loss is measured after that number of training steps on copies of the current weights. So it
    also measures hyperparameters that act only on training. The noise of the estimate grows with the number of
    hyperparameters; some tens are feasible.

    Args:
        rule: The inner optimizer's rule, for a horizon above 0.
        horizon: Steps of training before the loss is measured, at least 0.
        sigma: The distance by which raw values are moved, above 0; 1 is about a quarter of a linear interval.
        pairs: Number of pairs, at least 1. An update costs (2 * pairs + 1) * (1 + 3 * horizon) forward passes. The
            first update costs two or three more for each hyperparameter, to check that the loss depends on it.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    Example:
        >>> from dsptorch.meta import MetaController
        >>> controller = MetaController(torch.nn.Linear(4, 1), estimator=EvolutionStrategy(pairs=8))

    References:
        T. Salimans et al., Evolution Strategies as a Scalable Alternative to Reinforcement Learning, 2017,
        section 2.1.
        L. Metz et al., Understanding and correcting pathologies in the training of learned optimizers, ICML 2019.
    """

    rule: Rule | None = None
    horizon: int = 0
    sigma: float = 0.3
    pairs: int = 4

    def __post_init__(self) -> None:
        """Refuse a horizon without a rule, and a rule without a horizon."""
        check_int("horizon", self.horizon, least=0)
        check_int("pairs", self.pairs, least=1)
        if check_finite("sigma", self.sigma) <= 0:
            raise ValueError(f"sigma must be above 0, got {self.sigma}")
        if self.horizon and self.rule is None:
            raise ValueError(
                f"a horizon of {self.horizon} steps needs the rule of the inner optimizer, got none; give "
                "EvolutionStrategy(AdamRule(lr=3e-4), horizon=...)"
            )
        if self.rule is not None:
            check_rule(self.rule)
            if not self.horizon:
                raise ValueError("a rule makes no step at horizon=0; give a horizon, or leave the rule out")

    @property
    def requires(self) -> tuple[str, ...]:  # noqa: D102
        return ("train_loss",) if self.horizon else ("val_loss",)

    @property
    def allows_wrappers(self) -> bool:  # noqa: D102
        return True

    @property
    def hint(self) -> str:  # noqa: D102
        return "the loss is the same for any value of it" + (
            f" after {self.horizon} steps; does its setter reach the model, or the rule read it?"
            if self.horizon
            else "; if it acts on training, give a rule and a horizon above 0"
        )

    def estimate(self, meta_step: MetaStep) -> Estimate:
        """Compare pairs of losses."""
        raws = {name: raw.detach() for name, raw in meta_step.raws().items()}
        generator = torch.Generator().manual_seed(meta_step.seed)
        directions = [
            {name: torch.randn(raw.shape, generator=generator).to(raw) for name, raw in raws.items()}
            for _ in range(self.pairs)
        ]
        # Another seed for the losses: with the same seed, their noise would equal the noise of the directions.
        meta_step = replace(meta_step, seed=int(torch.randint(2**31, (), generator=generator)))
        totals = {name: torch.zeros_like(raw) for name, raw in raws.items()}
        try:
            with taping() as tape:
                loss = self._loss(meta_step, raws, tape)
                reached = self._reached(meta_step, raws, tape, loss) if meta_step.first else set(raws)
                for noise in directions:
                    above, below = (
                        meta_step.objective(self._loss(meta_step, _shifted(raws, noise, shift), tape))
                        for shift in (self.sigma, -self.sigma)
                    )
                    slope = (above - below) / (2 * self.sigma * self.pairs)
                    for name, direction in noise.items():
                        totals[name] += slope.to(direction) * direction
        finally:
            meta_step.call_setters()  # with the values that stand in the hyperparameters
        return Estimate(loss, {name: total if name in reached else None for name, total in totals.items()})

    def _loss(self, meta_step: MetaStep, raws: Tensors, tape: Tape) -> Tensor:
        """The loss for given raw values, on the batches of the tape, after the steps of the horizon."""
        tape.rewind()
        torch.manual_seed(meta_step.seed)
        meta_step.run(lambda _: meta_step.call_setters(), raws=raws)
        weights, buffers = meta_step.weights(), meta_step.buffers()
        if self.rule is not None:
            state = self.rule.start(weights, meta_step.optimizer_state)
            for _ in range(self.horizon):
                gradients = inner_gradients(meta_step, weights, raws, buffers, differentiable=False)
                with torch.no_grad():
                    stepped, state = inner_step(meta_step, self.rule, weights, gradients, state, raws)
                weights = {name: weight.requires_grad_() for name, weight in stepped.items()}
        with torch.no_grad():
            loss = meta_step.run(meta_step.target, raws=raws, weights=weights, buffers=buffers)
        return loss.detach()

    def _reached(self, meta_step: MetaStep, raws: Tensors, tape: Tape, loss: Tensor) -> set[str]:
        """The hyperparameters on which the loss depends; refuse a loss that differs from call to call."""
        again = self._loss(meta_step, raws, tape)
        if not torch.isclose(loss, again, rtol=1e-4, atol=0.0, equal_nan=True):
            raise ValueError(
                f"expected the same loss from the same hyperparameters, got {loss.item():.6g} and {again.item():.6g}: "
                "it draws another batch at each call; wrap the iterator that it draws from in "
                "dsptorch.meta.Replay, or draw with torch's global generator"
            )
        if not torch.isfinite(
            again
        ):  # which tells nothing; the update is left out, and the next one looks again
            return set(raws)
        reached = set()
        for name, raw in raws.items():
            for shift in (_FAR, -_FAR):
                if self._loss(meta_step, {**raws, name: raw + shift}, tape) != again:
                    reached.add(name)
                    break
        return reached


def _shifted(raws: Tensors, noise: Tensors, shift: float) -> Tensors:
    return {name: raw + shift * noise[name] for name, raw in raws.items()}
