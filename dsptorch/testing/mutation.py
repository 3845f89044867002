"""Check that a function does not change its arguments."""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree

from dsptorch.functional.validate import check_bools
from dsptorch.testing._engine.examples import examined
from dsptorch.testing._engine.run import tensors_of
from dsptorch.testing.tolerances import first_unequal, site


def assert_no_mutation(function: Callable[..., Any], *args: Any, views: bool = True) -> None:
    """Assert that a function changes no tensor among its arguments.

    Args:
        function: A module, or any function.
        *args: Its arguments; tensors are found in tuples, lists and dictionaries too.
        views: Whether an output may share memory with an argument. Writing into such an output changes the argument.

    Raises:
        AssertionError: If it does. The message gives the argument, the place and the old value.

    Example:
        >>> import torch
        >>> assert_no_mutation(torch.relu, torch.randn(3))
        >>> assert_no_mutation(torch.relu_, -torch.ones(3))
        Traceback (most recent call last):
        AssertionError: argument 0 was changed in place at index 0: from -1 to 0. Clone before writing
    """
    check_bools(views=views)
    given = [(pytree.keystr(path), leaf) for path, leaf in pytree.tree_leaves_with_path(args)]
    tensors = [(name, leaf) for name, leaf in given if isinstance(leaf, Tensor)]
    before = [leaf.detach().clone() for _, leaf in tensors]
    with examined(function, *(leaf for _, leaf in tensors)):
        output = function(*args)
    for (name, leaf), old in zip(tensors, before, strict=True):
        label = "argument " + name.replace("[", "", 1).replace("]", "", 1)
        at = first_unequal(leaf.detach(), old)
        if at is not None:
            raise AssertionError(
                f"{label} was changed in place at {site(at)}: from {old[at].item():.6g} to {leaf[at].item():.6g}. "
                "Clone before writing"
            )
        if not views and any(_shares(y, leaf) for y in tensors_of(output)):
            raise AssertionError(
                f"an output shares memory with {label}; give back memory of its own: y.clone()"
            )


def check_changeable(function: Callable[[Tensor], Tensor], example: Tensor) -> None:
    """Raise unless the output may be changed in place in training, like that of nn.Linear."""
    with examined(function, example, gradients=True):
        y = function(example.clone().requires_grad_())
        try:
            y += 1
        except RuntimeError as error:
            raise AssertionError(
                f"the output cannot be changed in place: {error} A torch.autograd.Function must not return a view"
            ) from error


def _shares(a: Tensor, b: Tensor) -> bool:
    return (
        a.numel() > 0 and b.numel() > 0 and a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()
    )
