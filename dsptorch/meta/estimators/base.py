"""The interface of estimators of the hypergradient: one meta-step in, one estimate out."""

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
        loss: The loss that is to be lowered, detached, ().
        hypergradients: The derivative of the meta-loss by each raw value, by name; None where there is no path.
    """

    loss: Tensor
    hypergradients: Mapping[str, Tensor | None]


class Estimator(Protocol):
    """A way to the derivative of the meta-loss by the hyperparameters.

    Any object with these four members is one; it must leave the model and the hyperparameters as they are.
    """

    @property
    def requires(self) -> tuple[str, ...]:
        """Which of "train_loss" and "val_loss" it needs."""

    @property
    def allows_wrappers(self) -> bool:
        """Whether it works with models under `torch.compile` or DistributedDataParallel."""

    @property
    def hint(self) -> str:
        """Advice for a hyperparameter to which it has no path."""

    def estimate(self, meta_step: "MetaStep") -> Estimate:
        """Compute the hypergradients."""


class Scope(nn.Module):
    """A model with the hyperparameters beside it: all that a loss may depend on.

    It is itself a module, so that `torch.func.functional_call` can exchange any tensor for the length of a call,
    and a loss is still given the model, with all its methods.
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
    """One meta-update: everything that an estimator may compute with.

    Args:
        scope: The model, with the hyperparameters beside it.
        callable: The model as the user runs it, compiled or not.
        hyperparams: The hyperparameters that learn, by name.
        train_loss: The loss that the weights descend, where it was given.
        val_loss: The loss that the hyperparameters are to lower, where it was given.
        objective: From that loss to the meta-loss.
        accumulated: The gradients that training left at the raw values since the last update: the mean over steps, by
            name; None where there was none.
        mean_loss: The mean training loss in that time, ().
        optimizer_state: The memory of the optimizer of the weights, by their names; may be empty.
        decayed: The names of the weights that decay.
        scale: The gradient scaler's factor; 1 without one.
        seed: The seed of everything random in this update.
        first: Whether this is the first update, before which nothing was checked.
        call_setters: Hands the present values of hyperparameters outside the model to their setters.
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
        """The loss to lower: of validation data where there are any, else of training data."""
        target = self.val_loss or self.train_loss
        if target is None:
            raise ValueError("expected val_loss or train_loss, got neither; give controller.step one of them")
        return target

    def raws(self) -> Tensors:
        """The raw values: detached copies that ask for a gradient."""
        return {name: h.raw.detach().clone().requires_grad_() for name, h in self.hyperparams.items()}

    def weights(self) -> Tensors:
        """The parameters that the inner optimizer trains: detached copies that ask for a gradient."""
        controlled = {id(h.raw) for h in self.hyperparams.values()}
        return {
            name: parameter.detach().clone().requires_grad_()
            for name, parameter in self.scope.model.named_parameters()
            if parameter.requires_grad and id(parameter) not in controlled
        }

    def buffers(self) -> Tensors:
        """Copies of the model's buffers, for a computation that may write to them."""
        return {name: buffer.clone() for name, buffer in self.scope.model.named_buffers()}

    def run(
        self,
        function: Callable[[nn.Module], T],
        *,
        raws: Tensors,
        weights: Tensors | None = None,
        buffers: Tensors | None = None,
    ) -> T:
        """Call a function with the model while other tensors stand in the places of its own.

        The modes are restored after each call: one loss may call `model.eval()`, and the next may not.
        """
        model = self.scope.model
        others = {id(h.raw): raws[name] for name, h in self.hyperparams.items()}
        for held, given in ((model.named_parameters(), weights), (model.named_buffers(), buffers)):
            others |= {id(tensor): given[name] for name, tensor in held if given and name in given}
        places = _places(self.scope)
        exchanged = {place: others[id(tensor)] for place, tensor in places if id(tensor) in others}
        with preserved(model, buffers=False):
            # Without tie_weights, which leaves the exchanged tensors in a module that has two names.
            result: T = functional_call(self.scope, exchanged, (function,), tie_weights=False)
        return result


def _places(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Every place where a parameter or a buffer stands, once: a tensor may have several, and a module several names."""
    for name, module in model.named_modules():
        for key, tensor in (*module._parameters.items(), *module._buffers.items()):
            if tensor is not None:
                yield f"{name}.{key}" if name else key, tensor
