"""The inner optimizer's rule: one step as a differentiable function of the weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from dsptorch.functional.validate import check_finite
from dsptorch.hyperparams import BoundedHyperparam, Hyperparam, check_hyperparam, current

__all__ = ["AdamRule", "Rule", "SGDRule", "State", "Tensors"]

Tensors = dict[str, Tensor]
State = dict[str, Tensors]
"""The memory of a rule: name of the weight -> name of the memory, as in `torch.optim` -> tensor."""


class Rule(Protocol):
    """One step of an optimizer, as a function of tensors.

    Any object with these two members is a rule. Hyperparameters that it reads as tensors, such as its learning rate,
    can be learned through it.
    """

    def start(self, weights: Tensors, state: State) -> State:
        """Return the initial memory of the rule, from the state of the real optimizer (which may be empty)."""

    def step(
        self, weights: Tensors, gradients: Tensors, state: State, decayed: frozenset[str]
    ) -> tuple[Tensors, State]:
        """Return the weights and the memory after a step, without changing anything in place.

        Args:
            weights: The weights, by name.
            gradients: Their gradients, by name.
            state: The memory of the rule.
            decayed: The names of the weights that decay.
        """


@dataclass(frozen=True)
class SGDRule:
    """Stochastic gradient descent, with momentum.

        v = momentum * v + g + weight_decay * w
        w = w - lr * v

    Args:
        lr: The learning rate, at least 0.
        momentum: The share of the last step, in [0, 1).
        weight_decay: The pull of a weight to 0, at least 0, on the weights that decay.

    Raises:
        TypeError, ValueError: If one is not a hyperparameter, or outside its range.

    Example:
        >>> rule = SGDRule(lr=0.1)
        >>> rule.step({"w": torch.tensor([1.0])}, {"w": torch.tensor([2.0])}, {}, frozenset())[0]
        {'w': tensor([0.8000])}

    References:
        torch.optim.SGD (dampening 0).
    """

    lr: Hyperparam
    momentum: Hyperparam = 0.0
    weight_decay: Hyperparam = 0.0

    def __post_init__(self) -> None:
        """Raise unless the rates are in range."""
        check_hyperparam("lr", self.lr, 0.0)
        check_hyperparam("momentum", self.momentum, 0.0, 1.0)
        check_hyperparam("weight_decay", self.weight_decay, 0.0)

    def start(self, weights: Tensors, state: State) -> State:
        """Return the momentum of the real optimizer, or 0."""
        if not self.momentum:
            return {}
        return {name: _memory(state, name, weight, "momentum_buffer") for name, weight in weights.items()}

    def step(
        self, weights: Tensors, gradients: Tensors, state: State, decayed: frozenset[str]
    ) -> tuple[Tensors, State]:
        """Return the weights and their momenta after a step."""
        lr, momentum, decay = map(_scalar, (self.lr, self.momentum, self.weight_decay))
        moved, after = {}, {}
        for name, weight in weights.items():
            velocity = gradients[name]
            if self.weight_decay and name in decayed:
                velocity = velocity + decay * weight
            if self.momentum:
                velocity = momentum * state[name]["momentum_buffer"] + velocity
                after[name] = {"momentum_buffer": velocity}
            moved[name] = weight - lr * velocity
        return moved, after


@dataclass(frozen=True)
class AdamRule:
    """Adam, with decoupled weight decay (AdamW).

        m = b1 m + (1 - b1) g;   v = b2 v + (1 - b2) g^2
        w = w - lr * weight_decay * w - lr * m' / sqrt(v' + eps^2),   m', v' without the bias of the start

    `torch.optim.AdamW` has eps outside the root, where the derivative is infinite if a gradient has always been 0. With
    eps inside the root, the step is the same up to eps.

    Args:
        lr: The learning rate, at least 0.
        betas: The decays of both averages, in [0, 1).
        eps: Keeps the denominator away from 0; above 0.
        weight_decay: The pull of a weight to 0, at least 0, on the weights that decay.

    Raises:
        TypeError, ValueError: If one is not a hyperparameter, or outside its range.

    Example:
        >>> rule = AdamRule(lr=0.1)
        >>> weights = {"w": torch.tensor([1.0])}
        >>> rule.step(weights, {"w": torch.tensor([2.0])}, rule.start(weights, {}), frozenset())[0]
        {'w': tensor([0.9000])}

    References:
        I. Loshchilov and F. Hutter, Decoupled Weight Decay Regularization, ICLR 2019, Algorithm 2.
    """

    lr: Hyperparam
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: Hyperparam = 0.0

    def __post_init__(self) -> None:
        """Raise unless the rates are in range."""
        check_hyperparam("lr", self.lr, 0.0)
        check_hyperparam("weight_decay", self.weight_decay, 0.0)
        if len(self.betas) != 2 or not all(0 <= check_finite("betas", beta) < 1 for beta in self.betas):
            raise ValueError(f"betas must be two numbers in [0, 1), got {self.betas}")
        if check_finite("eps", self.eps) <= 0:
            raise ValueError(f"eps must be above 0, got {self.eps}")

    def start(self, weights: Tensors, state: State) -> State:
        """Return the averages of the real optimizer, or 0."""
        return {
            name: _memory(state, name, weight, "exp_avg", "exp_avg_sq", "step")
            for name, weight in weights.items()
        }

    def step(
        self, weights: Tensors, gradients: Tensors, state: State, decayed: frozenset[str]
    ) -> tuple[Tensors, State]:
        """Return the weights and their averages after a step."""
        lr, decay = _scalar(self.lr), _scalar(self.weight_decay)
        first, second = self.betas
        moved, after = {}, {}
        for name, weight in weights.items():
            before, gradient = state[name], gradients[name]
            count = before["step"] + 1
            mean = torch.lerp(gradient, before["exp_avg"], first)
            square = torch.lerp(gradient.square(), before["exp_avg_sq"], second)
            after[name] = {"exp_avg": mean, "exp_avg_sq": square, "step": count}
            least = max(self.eps**2, torch.finfo(weight.dtype).tiny)  # 1e-16 is 0 in float16
            step = mean / (1 - first**count) / (square / (1 - second**count) + least).sqrt()
            if self.weight_decay and name in decayed:
                step = step + decay * weight
            moved[name] = weight - lr * step
        return moved, after


def learned_hyperparams(rule: object) -> dict[str, BoundedHyperparam]:
    """The learned hyperparameters of a rule, by name of the argument."""
    return {name: value for name, value in vars(rule).items() if isinstance(value, BoundedHyperparam)}


def _scalar(value: Hyperparam) -> float | Tensor:
    """The value for computation, without a dimension so that it does not promote the weights' dtype."""
    now = current(value)
    return now.reshape(()) if isinstance(now, Tensor) else now


def _memory(state: Mapping[str, Tensors], name: str, weight: Tensor, *kinds: str) -> Tensors:
    """Copies of an optimizer's memory of a weight, or zeros."""
    memory = state.get(name, {})
    return {kind: _copied(memory.get(kind), weight, count=kind == "step") for kind in kinds}


def _copied(value: Tensor | None, weight: Tensor, *, count: bool) -> Tensor:
    """One memory. A count of steps is in float64, because in bfloat16 0.999**1 is 1 and the bias correction fails."""
    if value is None:
        value = torch.zeros(()) if count else torch.zeros_like(weight)
    value = torch.as_tensor(value).detach().clone()
    return value.to("cpu", torch.float64) if count else value.to(weight.device)
