"""The kernel for rows that hold several signals: each output sees its own signal alone.

It is the trilinear form of `lptv`, with the taps that reach across a border left out,

    S(x, w, v) = sum over b, t, i, c of  v[b, t, c] * w[position[b, t] mod P, i, c] * x[b, t - lags[i], c]
                 over those t - lags[i] that are in the run of t,

and one `autograd.Function` that is each of its three partial derivatives: the filter (in v), its adjoint (in x), and
the correlation (in w).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import Function

from dsptorch.functional.segments import Segments

__all__ = ["earlier", "segmented_filter"]

_X, _W, _V = range(3)


def segmented_filter(seen: Tensor, weight: Tensor, lags: Sequence[int], segments: Segments) -> Tensor:
    """Filter signals that stand one after another in a row, each as if it were alone.

        y[t, c] = sum_i  weight[position[t] mod P, i, c] * x[t - lags[i], c]     over lags within the run of t

    Args:
        seen: The rows, behind the samples before them that the run of their first sample may reach: any number.
        weight: The taps of each of the P phases, for every channel or (C = 1) shared by all.
        lags: The delay of each tap in samples; negative ones look ahead.
        segments: Where the samples stand.

    Shape:
        seen: (batch, history + time, channels). weight: (P, len(lags), channels or 1). segments: (batch, time).
        Result: (batch, time, channels), in the dtype of `seen`; half precision is accumulated in float32.

    Example:
        >>> from dsptorch.functional.segments import find_segments
        >>> x = torch.tensor([1.0, 2.0, 4.0, 8.0]).reshape(1, 4, 1)
        >>> difference = torch.tensor([1.0, -1.0]).reshape(1, 2, 1)
        >>> segmented_filter(x, difference, (0, 1), find_segments(torch.tensor([[0, 0, 1, 1]]))).flatten()
        tensor([1., 1., 4., 4.])
    """
    time = segments.position.shape[1]
    if not lags:
        return torch.zeros_like(seen[:, seen.shape[1] - time :])
    weight = weight.expand(-1, -1, seen.shape[-1])
    place = _Place(tuple(lags), weight.shape[0], seen.shape[1] - time, segments.position, segments.following)
    return _partial(_V, {_X: seen, _W: weight}, place)


def earlier(seen: Tensor, lag: int, segments: Segments) -> Tensor:
    """The samples `lag` before each one (after it, if negative), 0 where the run does not reach so far.

    Shape:
        seen: (batch, history + time, channels). Result: (batch, time, channels).

    Example:
        >>> from dsptorch.functional.segments import find_segments
        >>> x = torch.tensor([1.0, 2.0, 4.0, 8.0]).reshape(1, 4, 1)
        >>> earlier(x, 1, find_segments(torch.tensor([[0, 0, 1, 1]]))).flatten()
        tensor([0., 1., 0., 4.])
    """
    time = segments.position.shape[1]
    place = _Place((lag,), 1, seen.shape[1] - time, segments.position, segments.following)
    return _masked(_moved(seen, place)[0], 0, place)


class _Place(NamedTuple):
    """Which sample meets which tap."""

    lags: tuple[int, ...]
    period: int
    history: int
    position: Tensor
    following: Tensor


def _partial(slot: int, parts: Mapping[int, Tensor], place: _Place) -> Tensor:
    """The derivative of S in one of its arguments, given the other two."""
    first, second = (parts[i] for i in (_X, _W, _V) if i != slot)
    if torch.compiler.is_compiling():  # a compiler decides by itself what it keeps for the backward pass
        return _PARTIALS[slot](first, second, place)
    y: Tensor = _Partial.apply(slot, first, second, *place)  # type: ignore[no-untyped-call]
    return y


def _filter(x: Tensor, weight: Tensor, place: _Place) -> Tensor:
    dtype = _accumulation_dtype(x, weight)
    moved, phase = _moved(x.to(dtype), place), place.position % place.period
    y = None
    for i in range(len(place.lags)):
        term = _masked(moved[i], i, place) * _tap(weight.to(dtype), phase, i)
        y = term if y is None else y + term
    assert y is not None
    return y.to(x.dtype)


def _adjoint(weight: Tensor, v: Tensor, place: _Place) -> Tensor:
    dtype = _accumulation_dtype(v, weight)
    phase, time, before = place.position % place.period, v.shape[1], max(place.history, *place.lags, 0)
    after = max(0, *(-lag for lag in place.lags))
    x = None
    for i, lag in enumerate(place.lags):
        term = _masked(v.to(dtype), i, place) * _tap(weight.to(dtype), phase, i)
        start = before - lag  # where sample 0 of the outputs meets this tap
        term = F.pad(term, (0, 0, start, before + after - start))
        x = term if x is None else x + term
    assert x is not None
    return x[:, before - place.history : before + time].to(v.dtype)


def _correlation(x: Tensor, v: Tensor, place: _Place) -> Tensor:
    dtype = _accumulation_dtype(x, v)
    moved, v = _moved(x.to(dtype), place), v.to(dtype)
    phase = (place.position % place.period).flatten()
    rows = []
    for i in range(len(place.lags)):
        product = (_masked(moved[i], i, place) * v).flatten(0, 1)
        zeros = product.new_zeros(place.period, product.shape[-1])
        rows.append(product.sum(0, True) if place.period == 1 else zeros.index_add(0, phase, product))
    return torch.stack(rows, 1)


_PARTIALS = (_adjoint, _correlation, _filter)


def _moved(x: Tensor, place: _Place) -> list[Tensor]:
    """The samples that each tap meets, before any border is seen."""
    time = x.shape[1] - place.history
    before, after = max(0, max(place.lags) - place.history), max(0, -min(place.lags))
    padded = F.pad(x, (0, 0, before, after))
    return [padded.narrow(1, before + place.history - lag, time) for lag in place.lags]


def _masked(x: Tensor, i: int, place: _Place) -> Tensor:
    """What tap i meets or makes, where its input is in the run of its output."""
    lag = place.lags[i]
    if lag == 0:
        return x
    within = place.position >= lag if lag > 0 else place.following >= -lag
    # Not a product: what stands in another signal may be infinite.
    return torch.where(within.unsqueeze(-1), x, torch.zeros((), dtype=x.dtype, device=x.device))


def _tap(weight: Tensor, phase: Tensor, i: int) -> Tensor:
    return weight[0, i] if weight.shape[0] == 1 else weight[:, i][phase]


def _accumulation_dtype(first: Tensor, second: Tensor) -> torch.dtype:
    return torch.promote_types(torch.promote_types(first.dtype, second.dtype), torch.float32)


class _Partial(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(slot: int, first: Tensor, second: Tensor, *place: Any) -> Tensor:
        return _PARTIALS[slot](first, second, _Place(*place))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.slot, first, second, *ctx.where, position, following = inputs
        ctx.save_for_backward(first, second, position, following)
        ctx.save_for_forward(first, second, position, following)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        given, place = _given(ctx)
        parts = {**given, ctx.slot: gradient}
        gradients = [
            _partial(slot, parts, place).to(part.dtype) if needed else None
            for (slot, part), needed in zip(given.items(), ctx.needs_input_grad[1:3], strict=True)
        ]
        return None, *gradients, *[None] * len(place)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        given, place = _given(ctx)
        terms = [
            _partial(ctx.slot, {**given, slot: tangent}, place)
            for slot, tangent in zip(given, tangents[1:3], strict=True)
            if tangent is not None
        ]
        return sum(terms[1:], terms[0])


def _given(ctx: Any) -> tuple[dict[int, Tensor], _Place]:
    """The two arguments that a partial derivative was computed from, by their slots, and the places."""
    first, second, position, following = ctx.saved_tensors
    lags, period, history = ctx.where
    slots = [slot for slot in (_X, _W, _V) if slot != ctx.slot]
    place = _Place(lags, period, history, position, following)
    return dict(zip(slots, (first, second), strict=True)), place
