"""Functions that PyTorch calls, at a small cost: operators, and the forward pass of a `torch.autograd.Function`."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch

__all__ = ["operator", "with_signature"]

_Function = TypeVar("_Function", bound=Callable[..., Any])
_LIBRARY = torch.library.Library("dsptorch", "FRAGMENT")


def operator(name: str, fake: _Function) -> Callable[[_Function], _Function]:
    """Decorate a function so that it is the operator `torch.ops.dsptorch.<name>`, without derivatives.

    A call costs 4 us; one of `torch.library.custom_op`, which looks for aliases and for derivatives each time, 16 us.
    Call an operator where no gradient is recorded: in the forward pass of a `torch.autograd.Function`.

    Args:
        name: The name.
        fake: A function of the same arguments that returns empty tensors of the shapes and dtypes of the result.
    """

    def register(function: _Function) -> _Function:
        schema = torch.library.infer_schema(function, mutates_args=())
        _LIBRARY.define(name + schema, tags=(torch.Tag.pt2_compliant_tag,))
        _LIBRARY.impl(name, function, "CompositeExplicitAutograd")
        torch.library.register_fake(f"dsptorch::{name}", fake, lib=_LIBRARY)
        return cast(_Function, getattr(torch.ops.dsptorch, name).default)

    return register


def with_signature(forward: _Function) -> _Function:
    """Decorate the `forward` of an autograd function that has a `setup_context`.

    PyTorch looks up the signature at each call, which takes 20 us; a signature that is there already is not looked up.
    """
    forward.__signature__ = inspect.signature(forward)  # type: ignore[attr-defined]
    return forward
