"""Can a number be bound? Checks of the module, and a trial run that leaves no trace."""

import inspect
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from dsptorch.hyperparams import BoundedHyperparam
from dsptorch.isolation import preserved, random_state_kept
from dsptorch.layers import Layer
from dsptorch.surgery.binding.bound import BoundForward
from dsptorch.surgery.binding.tensor_number import RefusedError, hint
from dsptorch.surgery.find import CONTAINERS


def check_number(module: nn.Module, name: str, hyperparam: BoundedHyperparam) -> None:
    """Raise unless the attribute of this name is a number that can be bound."""
    if not isinstance(module, nn.Module):
        raise TypeError(f"module must be an nn.Module, got {module!r} of type {type(module).__name__}")
    if not isinstance(hyperparam, BoundedHyperparam):
        raise TypeError(
            f"hyperparam must be a BoundedHyperparam, got {hyperparam!r} of type {type(hyperparam).__name__}"
        )
    kind = type(module).__name__
    if isinstance(module, CONTAINERS):
        raise TypeError(
            f"{kind} runs its children itself, and would run the hyperparameter as one of them; bind at a member"
        )
    if isinstance(module, Layer):
        raise TypeError(
            f"{kind} is a dsptorch layer, whose step would not know of it; give the hyperparameter to its constructor"
        )
    if hyperparam.raw.numel() != 1:
        raise ValueError(
            f"hyperparam must hold 1 value, as {name} does, got shape {tuple(hyperparam.raw.shape)}"
        )
    forward = BoundForward.of(module)
    if forward and any(bound == name for bound, _, _ in forward.bound):
        raise ValueError(f"{name} of {kind} is bound to {forward.child(name)}; unbind it first")
    of_class = inspect.getattr_static(type(module), name, None)
    if hasattr(type(of_class), "__get__") or hasattr(type(of_class), "__set__"):
        raise TypeError(
            f"{name} of {kind} is a property or a method; bind the plain number that it is made of"
        )
    try:
        number = getattr(module, name)
    except AttributeError:
        numbers = ", ".join(key for key, value in vars(module).items() if type(value) in (int, float))
        raise ValueError(
            f"{kind} has no attribute {name!r}; its plain numbers are: {numbers or 'none'}"
        ) from None
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        learns = ", which learns without it" if isinstance(number, nn.Parameter) else ""
        raise TypeError(f"{name} of {kind} must be a float or an int, got a {type(number).__name__}{learns}")


def check_gradient(
    module: nn.Module, name: str, hyperparam: BoundedHyperparam, args: tuple[Any, ...]
) -> None:
    """Run a module once to see that a gradient comes to the hyperparameter, and leave no trace."""
    who = f"{name} of {type(module).__name__}"
    with random_state_kept(), torch.enable_grad(), preserved(module, attributes=True):
        # Copies: what forward writes to its buffers and its arguments is written there.
        buffers = {key: buffer.clone() for key, buffer in module.named_buffers()}
        args = tree_map_only(Tensor, Tensor.clone, args)
        try:
            output = torch.func.functional_call(module, buffers, args)
            grad = _gradient(output, hyperparam.raw)
        except RefusedError:
            raise
        except Exception as error:
            raise ValueError(
                f"{who} was not bound: forward, or its gradient, fails on the example: {type(error).__name__}: {error}"
            ) from error
    if not hyperparam.raw.requires_grad:
        return
    if grad is None or not grad.any():
        raise ValueError(
            f"{who} was not bound: no gradient comes from the output of forward on the example to it, "
            + (
                "as it is not used, or is read into Python or detached on the way"
                if grad is None
                else "it is exactly 0: by rounding, or a bound, or zeros in the example"
            )
            + ". "
            + hint(name)
        )


def _gradient(output: Any, raw: Tensor) -> Tensor | None:
    reached = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor) and leaf.requires_grad]
    if not reached or not raw.requires_grad:
        return None
    # Any weights but equal ones: the sum of a softmax has no gradient.
    weights = [torch.randn_like(leaf) for leaf in reached]
    return torch.autograd.grad(reached, raw, weights, allow_unused=True)[0]
