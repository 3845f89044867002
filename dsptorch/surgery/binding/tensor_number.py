"""The value of a bound hyperparameter, as the forward of a module that expected a float sees it."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only


def hint(name: str) -> str:
    """Advice for a number that cannot be a tensor."""
    return (
        "Leave it an ordinary float (unbind), and move that by a setter, with the estimator 'es' of "
        f"dsptorch.meta.MetaController: controller.add_hyperparam({name!r}, hyperparam, "
        f"lambda value: setattr(module, {name!r}, value))"
    )


class RefusedError(TypeError):
    """A forward uses the value in a way that only a float allows."""


def refusal(name: str, module: nn.Module, problem: str) -> RefusedError:
    """The error for a forward that cannot compute with a tensor, with advice."""
    return RefusedError(
        f"{name} of {type(module).__name__} is bound to a BoundedHyperparam, and forward cannot compute with a tensor "
        f"in its place: {problem}. {hint(name)}"
    )


class Use:
    """One run of a forward."""

    over = False


class TensorNumber(Tensor):
    """A bound value inside `forward`. Reading it, or a tensor computed from it alone, into Python is an error."""

    _use: Use
    _who: tuple[str, nn.Module]

    @classmethod
    def of(cls, value: Tensor, use: Use, name: str, module: nn.Module) -> "TensorNumber":
        """Mark a value, in one run of the forward of a module, as that of one of its attributes."""
        bound = value.as_subclass(cls)
        bound._use, bound._who = use, (name, module)
        return bound

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        bound = next((tensor for tensor in tensors if isinstance(tensor, cls)), None)
        if bound is not None and not bound._use.over and func in _READS:
            raise refusal(
                *bound._who, f"it was read into Python by {func.__name__}(), where its gradient ends"
            )
        with torch._C.DisableTorchFunctionSubclass():
            output = func(*args, **(kwargs or {}))
        alone = type(output) is Tensor and all(isinstance(tensor, cls) for tensor in tensors)
        if bound is not None and not bound._use.over and alone:
            with torch._C.DisableTorchFunctionSubclass():
                return cls.of(output, bound._use, *bound._who)
        return output


_READS = {
    getattr(Tensor, name)
    for name in (
        *("__bool__", "__float__", "__int__", "__index__", "__complex__", "__array__"),
        *("item", "tolist", "numpy", "is_nonzero"),
    )
}


def as_tensors(output: Any) -> Any:
    """The output, with every TensorNumber in it as an ordinary tensor."""
    if not any(isinstance(leaf, TensorNumber) for leaf in tree_leaves(output)):
        return output
    return tree_map_only(TensorNumber, lambda value: value.as_subclass(Tensor), output)
