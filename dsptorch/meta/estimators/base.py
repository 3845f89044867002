"""The interface of estimators of the hypergradient: from a `MetaStep` to an `Estimate`."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

from torch import Tensor, nn
from torch.func import functional_call

from dsptorch.hyperparams import BoundedHyperparam
from dsptorch.isolation import preserved
from dsptorch.meta.estimators.rules import State, Tensors

__all__ = ["Estimate", "Estimator", "Loss", "MetaStep", "Scope"]

T = TypeVar("T")

Loss = Callable[[nn.Module], Tensor]
"""A scalar loss of the model that it is given, on a batch that it draws itself."""


class Estimate(NamedTuple):
    """The result of an estimator.

    Attributes:
        loss: The loss to minimise, detached, ().
        hypergradients: The derivative of the meta-loss by each raw value, by name; None if there is no path.
    """

    loss: Tensor
    hypergradients: Mapping[str, Tensor | None]


class Estimator(Protocol):
    """Estimates the derivative of the meta-loss by the hyperparameters.

    Any object with these four members is an estimator. It must not change the model or the hyperparameters.
    """

    @property
    def requires(self) -> tuple[str, ...]:
        """The required losses, of "train_loss" and "val_loss"."""

    @property
    def allows_wrappers(self) -> bool:
        """Whether it works with models under `torch.compile` or DistributedDataParallel."""

    @property
    def hint(self) -> str:
        """Advice for the error if it has no path to a hyperparameter."""

    def estimate(self, meta_step: "MetaStep") -> Estimate:
        """Compute the hypergradients."""


class Scope(nn.Module):
    """A module that holds a model and the hyperparameters outside it: everything that a loss may depend on.

    As a module, it lets `torch.func.functional_call` replace any tensor during a call, and a loss still receives the
    model with all its methods.
    """

    def __init__(self, model: nn.Module, outside: Mapping[str, BoundedHyperparam]) -> None:
        super().__init__()
        self.model = model
        self.outside = nn.ModuleList(outside.values())

    def forward(self, function: Callable[[nn.Module], T]) -> T:
        """Call a function with the model."""
        return function(self.model)


@dataclass(frozen=True, kw_only=True)
class MetaStep:
    """The inputs of one meta-update, from which an estimator computes.

    Args:
        scope: The model and the hyperparameters outside it.
        callable: The model as the user runs it, compiled or not.
        hyperparams: The learned hyperparameters, by name.
        train_loss: The loss that the weights minimise, if given.
        val_loss: The loss that the hyperparameters minimise, if given.
        objective: The function from the loss to the meta-loss.
        accumulated: The gradients of the raw values in training since the last update: the mean over steps, by name;
            None for no gradient.
        mean_loss: The mean training loss since the last update, ().
        optimizer_state: The state of the optimizer of the weights, by name of the weight; may be empty.
        decayed: The names of the weights with weight decay.
        scale: The gradient scaler's factor; 1 without a scaler.
        seed: The seed of all random numbers in this update.
        first: Whether this is the first update, in which the paths to the hyperparameters are checked.
        call_setters: Passes the current values of hyperparameters outside the model to their setters.
    """

    scope: Scope
    callable: nn.Module
    hyperparams: Mapping[str, BoundedHyperparam]
    train_loss: Loss | None
    val_loss: Loss | None
    objective: Callable[[Tensor], Tensor]
    accumulated: Mapping[str, Tensor | None]
    mean_loss: Tensor
    optimizer_state: State
    decayed: frozenset[str]
    scale: float
    seed: int
    first: bool
    call_setters: Callable[[], None]

    @property
    def target(self) -> Loss:
        """The loss to minimise: the validation loss if given, otherwise the training loss."""
        target = self.val_loss or self.train_loss
        if target is None:
            raise ValueError("expected val_loss or train_loss, got neither; give controller.step one of them")
        return target

    def raws(self) -> Tensors:
        """The raw values, as detached copies that require a gradient."""
        return {name: h.raw.detach().clone().requires_grad_() for name, h in self.hyperparams.items()}

    def weights(self) -> Tensors:
        """The parameters that the inner optimizer trains, as detached copies that require a gradient."""
        controlled = {id(h.raw) for h in self.hyperparams.values()}
        return {
            name: parameter.detach().clone().requires_grad_()
            for name, parameter in self.scope.model.named_parameters()
            if parameter.requires_grad and id(parameter) not in controlled
        }

    def buffers(self) -> Tensors:
        """Copies of the model's buffers, for computations that may write to them."""
        return {name: buffer.clone() for name, buffer in self.scope.model.named_buffers()}

    def run(
        self,
        function: Callable[[nn.Module], T],
        *,
        raws: Tensors,
        weights: Tensors | None = None,
        buffers: Tensors | None = None,
    ) -> T:
        """Call a function with the model while other tensors replace its own.

        Training and evaluation modes are restored after each call, because a loss may call `model.eval()`.
        """
        model = self.scope.model
        others = {id(h.raw): raws[name] for name, h in self.hyperparams.items()}
        for held, given in ((model.named_parameters(), weights), (model.named_buffers(), buffers)):
            others |= {id(tensor): given[name] for name, tensor in held if given and name in given}
        places = _places(self.scope)
        exchanged = {place: others[id(tensor)] for place, tensor in places if id(tensor) in others}
        with preserved(model, buffers=False):
            # Without tie_weights, which would leave the replaced tensors in a module that has two names.
            result: T = functional_call(self.scope, exchanged, (function,), tie_weights=False)
        return result


def _places(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Every location of a parameter or buffer, once; a tensor may have several locations, a module several names."""
    for name, module in model.named_modules():
        for key, tensor in (*module._parameters.items(), *module._buffers.items()):
            if tensor is not None:
                yield f"{name}.{key}" if name else key, tensor
