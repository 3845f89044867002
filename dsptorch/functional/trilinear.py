"""Trilinear forms of a signal, weights and a signal, whose derivatives are forms of the same kind.

The partial derivatives of a form S(x, w, v) are the filter (in v), the adjoint (in x) and the correlation (in w). Each
is linear in the other two arguments, and its derivatives are the other two partial derivatives. So one
`autograd.Function` for all three is differentiable to any order, and saves only its own inputs.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import Function

from dsptorch.functional.memo import is_transformed
from dsptorch.functional.operators import with_signature

__all__ = [
    "TrilinearForm",
    "V",
    "W",
    "X",
    "accumulation_dtype",
    "beside_channels",
    "partial_derivative",
]

X, W, V = range(3)


class TrilinearForm(Protocol):
    """A trilinear form S(x, w, v), given by its partial derivatives."""

    def compute(
        self, slot: int, first: Tensor, second: Tensor, position: Tensor | None, following: Tensor | None
    ) -> Tensor:
        """The derivative in the argument `slot`, from the other two arguments in the order X, W, V."""


def partial_derivative(
    form: TrilinearForm,
    slot: int,
    parts: Mapping[int, Tensor],
    position: Tensor | None = None,
    following: Tensor | None = None,
) -> Tensor:
    """The derivative of a trilinear form in one argument, from the other two arguments.

    Args:
        form: The form. In all three arguments the channels come last and are independent.
        slot: X, W or V.
        parts: The other two arguments, by slot.
        position: The positions of packed rows (see `Segments`), or None. Passed to `compute`, not differentiated.
        following: The numbers of following samples of packed rows, or None. Passed to `compute`, not differentiated.
    """
    first, second = (parts[i] for i in (X, W, V) if i != slot)
    if torch._C._get_tracing_state() is not None or not (torch.is_grad_enabled() or is_transformed()):
        # torch.jit.trace does not record a Function of Python objects, and without a gradient none is needed.
        return form.compute(slot, first, second, position, following)
    # Dynamo cannot trace a Function that defines `jvp`, so forward-mode AD works in eager code only.
    function = _Trilinear if torch.compiler.is_compiling() else _TrilinearWithJvp
    y: Tensor = function.apply(form, slot, first, second, position, following)  # type: ignore[no-untyped-call]
    return y


def accumulation_dtype(first: Tensor, second: Tensor) -> torch.dtype:
    """The dtype of sums of products: float32 at least."""
    return torch.promote_types(torch.promote_types(first.dtype, second.dtype), torch.float32)


class _Trilinear(Function):
    @staticmethod
    @with_signature
    def forward(
        form: TrilinearForm,
        slot: int,
        first: Tensor,
        second: Tensor,
        position: Tensor | None,
        following: Tensor | None,
    ) -> Tensor:  # named arguments, because Dynamo counts them
        return form.compute(slot, first, second, position, following)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.form, ctx.slot, *tensors = inputs
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        given, masks = _given(ctx)
        parts = {**given, ctx.slot: gradient}
        gradients = [
            partial_derivative(ctx.form, slot, parts, *masks).to(part.dtype) if needed else None
            for (slot, part), needed in zip(given.items(), ctx.needs_input_grad[2:4], strict=True)
        ]
        return None, None, *gradients, None, None

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[int | None, ...],
        form: TrilinearForm,
        slot: int,
        first: Tensor,
        second: Tensor,
        *masks: Tensor | None,
    ) -> tuple[Tensor, int]:
        if any(dim is not None for dim in in_dims[4:]):
            raise ValueError("segments cannot be batched by vmap; give them as segments of more rows")
        size = info.batch_size
        moved = [
            beside_channels(part, dim, size) for part, dim in zip((first, second), in_dims[2:4], strict=True)
        ]
        parts = dict(zip([i for i in (X, W, V) if i != slot], moved, strict=True))
        y = partial_derivative(form, slot, parts, *masks)
        return y.unflatten(-1, (size, -1)), y.dim() - 1


class _TrilinearWithJvp(_Trilinear):
    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        given, masks = _given(ctx)
        terms = [
            partial_derivative(ctx.form, ctx.slot, {**given, slot: tangent}, *masks)
            for slot, tangent in zip(given, tangents[2:4], strict=True)
            if tangent is not None
        ]
        return sum(terms[1:], terms[0])


def _given(ctx: Any) -> tuple[dict[int, Tensor], tuple[Tensor | None, Tensor | None]]:
    """The two arguments of a partial derivative, by slot, and its masks."""
    first, second, position, following = ctx.saved_tensors
    slots = [slot for slot in (X, W, V) if slot != ctx.slot]
    return dict(zip(slots, (first, second), strict=True)), (position, following)


def beside_channels(tensor: Tensor, dim: int | None, size: int) -> Tensor:
    """Move a batched dimension into the independent channels: (..., C) -> (..., size * C)."""
    if dim is None:
        return tensor.unsqueeze(-2).expand(*tensor.shape[:-1], size, -1).flatten(-2)
    return tensor.movedim(dim, -2).flatten(-2)
