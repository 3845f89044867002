"""The linear recurrence y[t] = a y[t-1] + x[t], with derivatives of any order, segments and chunks.

The gradient in x is the same recurrence, backwards in time. The gradient in a is a sum of products of the two results.
So one `autograd.Function` whose backward calls itself is differentiable to any order.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import Function

from dsptorch.functional.gpu.recurrence import gradients, has_gradients, runs_on_kernels
from dsptorch.functional.operators import with_signature
from dsptorch.functional.scan import scan
from dsptorch.functional.time_shifts import (
    first_sample,
    shifted,
    states_before,
    transposed,
    unless_begun,
    with_last,
)
from dsptorch.functional.timeline import Segments
from dsptorch.functional.trilinear import beside_channels
from dsptorch.functional.validate import describe

__all__ = ["linear_recurrence", "recur", "recur_coupled"]


def linear_recurrence(
    x: Tensor, a: float | Tensor, zi: Tensor | None = None, *, segments: Segments | None = None
) -> Tensor | tuple[Tensor, Tensor]:
    """Filter each channel by a linear recurrence of the first order.

        y[t] = a[t] * y[t-1] + x[t]

    With n coupled states in each channel, the coefficients are matrices. A complex pole r + i s is a pair of real
    states with the matrix [[r, -s], [s, r]]; the first state takes the real part of the input.

    The coefficients may have any magnitude: with a pole outside the unit circle, y grows without bound.

    Args:
        x: The input; time is dimension 1.
        a: The coefficients: one number, one for each channel, or one for each sample of each channel.
        zi: The output before the first sample; None for zero.
        segments: Segments of rows that hold several signals. Each signal is then filtered by itself.

    Shape:
        x: (batch, time, channels). a: (), (channels,) or (batch, time, channels). zi: (batch, channels).
        Coupled: x: (batch, time, n, channels). a: (n, n, channels) or (batch, time, n, n, channels). zi:
        (batch, n, channels). Result: as x, in its dtype. Half-precision input is accumulated in float32.

    Returns:
        y; or (y, zf) if zi is given. zf, float32 at least, is the zi of the next chunk.

    Raises:
        TypeError, ValueError: If the shapes do not fit.

    Example:
        >>> x = torch.tensor([1.0, 0.0, 0.0, 4.0]).reshape(1, 4, 1)
        >>> linear_recurrence(x, 0.5).flatten()
        tensor([1.0000, 0.5000, 0.2500, 4.1250])
        >>> first, zf = linear_recurrence(x[:, :2], 0.5, zi=torch.zeros(1, 1))
        >>> linear_recurrence(x[:, 2:], 0.5, zi=zf)[0].flatten()
        tensor([0.2500, 4.1250])

    References:
        G. E. Blelloch, Prefix sums and their applications, 1990, CMU-CS-90-190, sec. 1.4 (recurrences as scans).
    """
    a = _checked(x, a, zi)
    begins = None if segments is None else segments.position == 0
    y, zf = (recur if x.dim() == 3 else recur_coupled)(x, a, zi, begins, narrow=True)
    return y if zi is None else (y, zf)


def recur(
    x: Tensor,
    a: Tensor,
    state: Tensor | None,
    begins: Tensor | None,
    gain: Tensor | None = None,
    *,
    narrow: bool = False,
) -> tuple[Tensor, Tensor]:
    """The recurrence of one state per channel, without checks: all states, and the last one in float32 at least.

        y[t] = a[t] y[t-1] + g x[t]

    Args:
        x: The input, (batch, time, channels).
        a: The coefficients: (), (channels,) or (batch, time, channels).
        state: The state before the first sample, (batch, channels); None: zero.
        begins: Where a signal begins, (batch, time), bool; None: nowhere.
        gain: g, (channels,); None: 1. It saves the pass over the signal that a product before or after would take.
        narrow: Whether to return all states in the dtype of x, which kernels write directly. The last state is not
            rounded.
    """
    a = a.expand(x.shape) if a.dim() == 3 else a.expand(x.shape[-1])
    y, last = recur_coupled(
        x.unsqueeze(-2),
        a.unsqueeze(-2).unsqueeze(-2),
        None if state is None else state.unsqueeze(-2),
        begins,
        gain,
        narrow=narrow,
    )
    return y.squeeze(-2), last.squeeze(-2)


def recur_coupled(
    x: Tensor,
    a: Tensor,
    state: Tensor | None,
    begins: Tensor | None,
    gain: Tensor | None = None,
    *,
    narrow: bool = False,
) -> tuple[Tensor, Tensor]:
    """`recur` for n coupled states per channel.

    Args:
        x: The input, (batch, time, n, channels).
        a: The coefficients, (n, n, channels) or (batch, time, n, n, channels).
        state: The states before the first sample, (batch, n, channels); None: zero.
        begins: Where a signal begins, (batch, time), bool; None: nowhere.
        gain: As of `recur`.
        narrow: As of `recur`.
    """
    dtype, given = torch.promote_types(torch.promote_types(x.dtype, a.dtype), torch.float32), x.dtype
    state = None if state is None else state.to(dtype)
    a = a.to(dtype).unsqueeze(-4)
    by_kernels = runs_on_kernels(x, a)
    x = x if by_kernels else x.to(dtype)
    y, last = recur_lags(x, a, state, begins, gain=gain, narrow=narrow and by_kernels)
    # The backward pass keeps y, and the result may be changed in place.
    y = y.clone() if y.requires_grad else y
    return (y.to(given) if narrow else y), last


def recur_lags(
    x: Tensor,
    a: Tensor,
    state: Tensor | None,
    begins: Tensor | None,
    reverse: bool = False,
    gain: Tensor | None = None,
    narrow: bool = False,
) -> tuple[Tensor, Tensor]:
    """`scan` with derivatives: all states of a recurrence of any order, and the last one."""
    if torch._C._get_tracing_state() is not None:  # torch.jit.trace, which records no Function
        return scan(x, a, state, begins, reverse, gain, narrow)
    # Dynamo cannot trace a Function that defines `jvp`; forward-mode AD is for eager code alone.
    function = _Recurrence if torch.compiler.is_compiling() else _RecurrenceWithJvp
    y, last = function.apply(x, a, state, begins, reverse, gain, narrow)  # type: ignore[no-untyped-call]
    return y, last


class _Recurrence(Function):
    @staticmethod
    @with_signature
    def forward(
        x: Tensor,
        a: Tensor,
        state: Tensor | None,
        begins: Tensor | None,
        reverse: bool,
        gain: Tensor | None,
        narrow: bool,
    ) -> tuple[Tensor, Tensor]:  # each argument by its name: Dynamo counts them
        return scan(x, a, state, begins, reverse, gain, narrow)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        x, a, state, begins, ctx.reverse, gain, ctx.narrow = inputs
        ctx.dtype = x.dtype
        saved = (None if gain is None else x, a, state, begins, gain, output[0])
        ctx.save_for_backward(*saved)
        ctx.save_for_forward(*saved)

    @staticmethod
    def backward(ctx: Any, of_y: Tensor | None, of_last: Tensor | None) -> tuple[Tensor | None, ...]:
        x, a, state, begins, gain, y = ctx.saved_tensors
        back = 1 if ctx.reverse else -1  # what leads from t - k to t, leads back from t to t - k
        gradient = with_last(of_y, of_last, y.shape[1], ctx.reverse)
        if gradient is None:
            return (None,) * 7
        matrices, borders = transposed(a, back), None if begins is None else shifted(begins, back)
        if not any(ctx.needs_input_grad[1:]):  # in one pass, in the dtype of x
            narrow = ctx.narrow and gradient.dtype == ctx.dtype
            of_x = recur_lags(gradient, matrices, None, borders, not ctx.reverse, gain, narrow)[0]
            return of_x.to(ctx.dtype), *(None,) * 6
        if has_gradients(gradient, a):
            found = gradients(gradient, a, state, begins, ctx.reverse, gain, y, x, ctx.dtype)
            return *found[:3], None, None, found[3], None
        adjoint = recur_lags(gradient, matrices, None, borders, not ctx.reverse)[0]
        of_a: Tensor | None = None
        of_state: Tensor | None = None
        if ctx.needs_input_grad[1]:
            lags = []
            for before in states_before(y, state, begins, ctx.reverse, a.shape[-4]):
                columns = (adjoint * part for part in before.split(1, -2))
                lags.append(torch.stack([c.sum((0, 1)) if a.dim() == 4 else c for c in columns], -2))
            of_a = torch.stack(lags, -4)
        if ctx.needs_input_grad[2]:
            part = (first_sample(a.squeeze(-4)) * first_sample(adjoint).unsqueeze(-2)).sum(-3)
            of_state = unless_begun(part, begins).squeeze(1)
            if of_last is not None and y.shape[1] == 0:
                of_state = of_last
        of_gain = (adjoint * x).sum((0, 1, 2)) if ctx.needs_input_grad[5] else None
        scaled = None
        if ctx.needs_input_grad[0]:
            scaled = (adjoint if gain is None else gain * adjoint).to(ctx.dtype)
        return scaled, of_a, of_state, None, None, of_gain, None

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[int | None, ...],
        x: Tensor,
        a: Tensor,
        state: Tensor | None,
        begins: Tensor | None,
        reverse: bool,
        gain: Tensor | None,
        narrow: bool,
    ) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
        if in_dims[3] is not None:
            raise ValueError("segments cannot be batched by vmap; give them as segments of more rows")
        size = info.batch_size
        x, a = beside_channels(x, in_dims[0], size), beside_channels(a, in_dims[1], size)
        state = None if state is None else beside_channels(state, in_dims[2], size)
        gain = None if gain is None else beside_channels(gain, in_dims[5], size)
        y, last = recur_lags(x, a, state, begins, reverse, gain, narrow)
        found = y.unflatten(-1, (size, -1)), last.unflatten(-1, (size, -1))
        return found, (y.dim() - 1, last.dim() - 1)


class _RecurrenceWithJvp(_Recurrence):
    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        _Recurrence.setup_context(ctx, inputs, output)
        ctx.set_materialize_grads(False)  # zeros for a last state that nobody uses would be one more pass

    @staticmethod
    def jvp(
        ctx: Any,
        x: Tensor | None,
        a: Tensor | None,
        state: Tensor | None,
        _begins: None,
        _reverse: None,
        gain: Tensor | None,
        _narrow: None,
    ) -> tuple[Tensor, Tensor]:  # the tangents
        signal, matrices, first, begins, factor, y = ctx.saved_tensors
        x = torch.zeros_like(y) if x is None else x if factor is None else factor * x
        if gain is not None:
            x = x + gain * signal
        if a is not None:
            before = states_before(y, first, begins, ctx.reverse, a.shape[-4])
            for a_k, past in zip(a.unbind(-4), before, strict=True):
                x = x + sum(c * part for c, part in zip(a_k.unbind(-2), past.split(1, -2), strict=True))
        if state is not None:  # its part in the first sample
            part = (first_sample(matrices.squeeze(-4)) * state[:, None, None]).sum(-2)
            x = x + F.pad(unless_begun(part, begins), (0, 0, 0, 0, 0, y.shape[1] - 1))
        of_y, of_last = recur_lags(x, matrices, None, begins, ctx.reverse)
        return of_y.to(y.dtype), of_last if y.shape[1] or state is None else state


def _checked(x: Tensor, a: float | Tensor, zi: Tensor | None) -> Tensor:
    """The coefficients as a tensor, or raise."""
    if not isinstance(x, Tensor) or not x.is_floating_point() or x.dim() not in (3, 4):
        raise TypeError(
            "linear_recurrence expects a floating-point signal (batch, time, channels), or (batch, time, n, channels), "
            f"got {describe(x)}; time is dimension 1, and channels come last"
        )
    if not isinstance(a, Tensor):
        a = torch.tensor(float(a), dtype=torch.promote_types(x.dtype, torch.float32), device=x.device)
    batch, time, *rest = x.shape
    n, channels = (rest[0], rest[1]) if x.dim() == 4 else (0, rest[0])
    square = (n, n) if n else ()
    allowed = [(*square, channels), (batch, time, *square, channels)] + [()] * (not n)
    if a.is_complex() or tuple(a.shape) not in allowed:
        raise ValueError(
            f"linear_recurrence expects coefficients of shape {' or '.join(map(str, allowed))} for a signal of shape "
            f"{tuple(x.shape)}, got {describe(a)}; a complex pole r + i s is the matrix [[r, -s], [s, r]]"
        )
    if zi is not None and tuple(zi.shape) != (batch, *rest):
        raise ValueError(
            f"zi must be of shape {(batch, *rest)}, the output before the first sample, got {describe(zi)}"
        )
    return a
