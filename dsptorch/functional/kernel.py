"""The one kernel: a depthwise, linear, periodically time-varying FIR filter as shift-and-add.

The operation is one trilinear form,

    S(x, w, v) = sum over b, t, i, c of  v[b, t, c] * w[t mod P, i, c] * x[b, t - lags[i], c],

whose three partial derivatives are the filter (in v), the filter with the time-reversed weights (in x), and the
correlation (in w): see `trilinear`. For rows that hold several signals, taps that reach across a boundary are left
out, and t counts from the beginning of each signal.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dsptorch.functional.dynamo import first_samples, in_blocks, is_exporting, known_equal
from dsptorch.functional.gpu.choice import uses_kernels
from dsptorch.functional.timeline import Segments
from dsptorch.functional.trilinear import V, W, X, accumulation_dtype, partial_derivative

__all__ = ["earlier", "lptv_filter"]


def lptv_filter(
    x: Tensor, weight: Tensor, lags: Sequence[int], *, history: int = 0, segments: Segments | None = None
) -> Tensor:
    """Filter a signal with periodically time-varying taps; the signal is taken as zero outside its ends.

        y[t, c] = sum_i  weight[t mod P, i, c] * x[history + t - lags[i], c]

    Args:
        x: The signal, preceded by `history` earlier samples.
        weight: The taps of each of the P phases, for each channel or (C = 1) shared by all. The first output is at
            phase 0. With a batch dimension, each row has its own taps.
        lags: The delay of each tap in samples; a negative lag looks ahead.
        history: Number of samples of x before the sample of the first output.
        segments: Segments of rows that hold several signals. Each signal is then filtered by itself, and phases
            count from its beginning.

    Shape:
        x: (batch, history + time, channels). weight: (P, len(lags), channels or 1), or with the batch in front.
        Result: (batch, time, channels), in x's dtype. Half-precision input is accumulated in float32.

    Raises:
        ValueError: If segments are given together with weights for each row.

    Example:
        >>> x = torch.tensor([1.0, 2.0, 4.0, 8.0]).reshape(1, 4, 1)
        >>> difference = torch.tensor([1.0, -1.0]).reshape(1, 2, 1)
        >>> lptv_filter(x, difference, lags=(0, 1)).flatten()
        tensor([1., 1., 2., 4.])
        >>> from dsptorch.functional import find_segments
        >>> two = find_segments(torch.tensor([[0, 0, 1, 1]]))
        >>> lptv_filter(x, difference, (0, 1), segments=two).flatten()
        tensor([1., 1., 4., 4.])

    References:
        P. P. Vaidyanathan, Multirate Systems and Filter Banks, 1993, ch. 10 (LPTV systems).
    """
    time = x.shape[1] - history
    if not lags:
        return torch.zeros_like(x[:, history:])
    weight = weight.expand(*weight.shape[:-1], x.shape[-1])
    weight = weight.unsqueeze(0) if weight.dim() == 3 else weight
    if segments is not None and weight.shape[0] != 1:
        raise ValueError("segments take weights that all rows share, (P, lags, channels), got one set a row")
    if uses_kernels(x, weight):
        masks = (None, None) if segments is None else (segments.position, segments.following)
        geometry = _Geometry(tuple(lags), history, weight.shape[1], weight.shape[0] != 1)
        return partial_derivative(geometry, V, {X: x, W: weight}, *masks)
    if known_equal(time, 1) and min(lags) >= 0 and max(lags) <= history:
        return _one_sample(x, weight, lags, history, segments)
    period = weight.shape[1]
    geometry = _Geometry(tuple(lags), history, period, weight.shape[0] != 1)
    if segments is not None:
        masks = segments.position, segments.following
        if torch.compiler.is_compiling():  # AOTAutograd decides what to keep for the backward pass
            return geometry.compute(V, x, weight, *masks)
        return partial_derivative(geometry, V, {X: x, W: weight}, *masks)
    if torch.compiler.is_compiling() and period > 1 and not known_equal(period, time):
        x = in_blocks(x, period, history)
    return first_samples(partial_derivative(geometry, V, {X: x, W: weight}), time)


def earlier(x: Tensor, lag: int, segments: Segments) -> Tensor:
    """For each sample, the sample `lag` steps before it (after it, if negative), or 0 outside its segment.

    Shape:
        x: (batch, history + time, channels). Result: (batch, time, channels).

    Example:
        >>> from dsptorch.functional import find_segments
        >>> x = torch.tensor([1.0, 2.0, 4.0, 8.0]).reshape(1, 4, 1)
        >>> earlier(x, 1, find_segments(torch.tensor([[0, 0, 1, 1]]))).flatten()
        tensor([0., 1., 0., 4.])
    """
    time = segments.position.shape[1]
    geometry = _Geometry((lag,), x.shape[1] - time, 1, False, segments.position, segments.following)
    (view,) = _views(x, geometry.lags, geometry.history, time, 1)
    return _masked(view, lag, geometry).squeeze(2)


class _Geometry(NamedTuple):
    """The assignment of samples to taps.

    `position` and `following` are None if each row is one signal whose first output is at phase 0. The phases are then
    a dimension of views, and nothing is masked.
    """

    lags: tuple[int, ...]
    history: int
    period: int
    per_row: bool = False  # whether each row has its own weights
    position: Tensor | None = None
    following: Tensor | None = None

    def compute(
        self, slot: int, first: Tensor, second: Tensor, position: Tensor | None, following: Tensor | None
    ) -> Tensor:
        """The derivative of S in the argument `slot`, from the other two arguments."""
        if uses_kernels(first, second):
            return _by_kernel(slot, first, second, self, position, following)
        return _PARTIALS[slot](first, second, self._replace(position=position, following=following))


def _by_kernel(
    slot: int, first: Tensor, second: Tensor, g: _Geometry, position: Tensor | None, following: Tensor | None
) -> Tensor:
    from dsptorch.functional.gpu.periodic import periodic_correlation, periodic_filter  # noqa: PLC0415

    masks = position, following
    y: Tensor
    if slot == W:
        y = periodic_correlation(first, second, g.lags, g.history, g.period, g.per_row, *masks)
    else:
        signal, weight = (first, second) if slot == V else (second, first)
        length = signal.shape[1] - g.history if slot == V else signal.shape[1] + g.history
        y = periodic_filter(signal, weight, g.lags, g.history, length, *masks, slot == X)
    return y


# The three partial derivatives. Inside, signals are (batch, blocks, P, channels).


def _filter(x: Tensor, weight: Tensor, g: _Geometry) -> Tensor:
    dtype = accumulation_dtype(x, weight)
    time = x.shape[1] - g.history
    views = _views(x.to(dtype), g.lags, g.history, time, _block(g))
    y = _sum_of_products(
        (_masked(view, lag, g), tap)
        for view, lag, tap in zip(views, g.lags, _taps(weight.to(dtype), g), strict=True)
    )
    return _joined(y, time).to(x.dtype)


def _adjoint(weight: Tensor, v: Tensor, g: _Geometry) -> Tensor:
    dtype = accumulation_dtype(v, weight)
    weight, length = weight.to(dtype), g.history + v.shape[1]
    if g.position is None:
        # The sample at time t = j - history is multiplied by tap i of the output at t + lag, whose phase is t + lag.
        lags = tuple(-lag for lag in g.lags)
        by = [lag - g.history for lag in g.lags]
        if isinstance(g.period, int):  # in a graph the period may be symbolic
            by = [shift % g.period for shift in by]
        rolled = {shift: weight.roll(-shift, 1) for shift in dict.fromkeys(by)}
        taps = [rolled[shift][:, None, :, i] for i, shift in enumerate(by)]
        views = _views(v.to(dtype), lags, -g.history, length, g.period)
        return _joined(_sum_of_products(zip(views, taps, strict=True)), length).to(v.dtype)
    before, after = max(g.history, *g.lags, 0), max(0, *(-lag for lag in g.lags))
    terms = [
        F.pad(_masked(v.to(dtype), lag, g) * tap.squeeze(2), (0, 0, before - lag, after + lag))
        for lag, tap in zip(g.lags, _taps(weight, g), strict=True)
    ]
    # Not a slice: forward-mode AD does not accept a view as output.
    return F.pad(sum(terms[1:], terms[0]), (0, 0, g.history - before, -after)).to(v.dtype)


def _correlation(x: Tensor, v: Tensor, g: _Geometry) -> Tensor:
    dtype = accumulation_dtype(x, v)
    views = _views(x.to(dtype), g.lags, g.history, v.shape[1], _block(g))
    (v,) = _views(v.to(dtype), (0,), 0, v.shape[1], _block(g))
    views = [_masked(view, lag, g) for view, lag in zip(views, g.lags, strict=True)]
    if g.per_row:
        return torch.stack([(view * v).sum(1) for view in views], 2)
    if g.position is None or g.period == 1:
        return _sums_over_blocks(views, v).unsqueeze(0)
    phase = (g.position % g.period).flatten()
    zeros = v.new_zeros(g.period, v.shape[-1])
    products = [(view * v).reshape(len(phase), v.shape[-1]) for view in views]
    return torch.stack([zeros.index_add(0, phase, product) for product in products], 1).unsqueeze(0)


_PARTIALS = (_adjoint, _correlation, _filter)


def _block(g: _Geometry) -> int:
    return g.period if g.position is None else 1


def _views(x: Tensor, lags: tuple[int, ...], before: int, time: int, block: int) -> list[Tensor]:
    """The samples x[t + before - lag] for t = 0 ... time - 1, in whole blocks, as views of one padded copy of x."""
    blocks = 1 if known_equal(block, time) else (time + block - 1) // block
    late, early = max(0, max(lags) - before), max(0, -min(lags))
    padded = F.pad(x, (0, 0, late, blocks * block - time + early))
    moved = [padded.narrow(1, late + before - lag, blocks * block) for lag in lags]
    if known_equal(block, time):
        return [view.unsqueeze(1) for view in moved]
    if is_exporting() and block > 1:
        # A view needs a proof that the block size divides the time.
        return [view.unfold(1, block, block).transpose(2, 3) for view in moved]
    return [view.view(x.shape[0], blocks, block, x.shape[2]) for view in moved]


def _joined(y: Tensor, time: int) -> Tensor:
    """A copy of the first samples of a signal in blocks: not a view, so that it can be changed in place."""
    length = y.shape[1] * y.shape[2]
    y = torch.ops.aten._unsafe_view.default(y, [y.shape[0], length, y.shape[3]])
    return y if known_equal(length, time) else F.pad(y, (0, 0, 0, time - length))


def _taps(weight: Tensor, g: _Geometry) -> Iterator[Tensor]:
    """The weights of each lag, in the shape that multiplies the views of the signal."""
    if g.position is None or g.period == 1:
        return (weight[:, None, :, i] for i in range(len(g.lags)))
    phase = g.position % g.period
    return (weight[0, :, i][phase].unsqueeze(2) for i in range(len(g.lags)))


def _masked(x: Tensor, lag: int, g: _Geometry) -> Tensor:
    """Zero the samples that belong to another segment than the output of their tap."""
    if lag == 0 or g.position is None or g.following is None:
        return x
    within = g.position >= lag if lag > 0 else g.following >= -lag
    within = within[..., None, None] if x.dim() == 4 else within[..., None]
    # `where`, not a product: 0 times infinity is NaN.
    return torch.where(within, x, torch.zeros((), dtype=x.dtype, device=x.device))


def _sum_of_products(pairs: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    (first, second), *others = pairs
    y = first * second
    for first, second in others:
        # addcmul would keep its multiplication by 1 in compiled code.
        y = y + first * second if torch.compiler.is_compiling() else y.addcmul_(first, second)
    return y


def _sums_over_blocks(views: list[Tensor], v: Tensor) -> Tensor:
    """Sum view * v over rows and blocks, for each view: (batch, blocks, P, channels) -> (P, views, channels)."""
    rows, blocks, *rest = v.shape
    if torch.compiler.is_compiling() or not rows:
        return torch.stack([(view * v).sum((0, 1)) for view in views], 1)
    ones, sums = v.new_ones(blocks), []
    for view in views:
        total = view[0] * v[0]  # row by row: a row fits in the cache, the whole product does not
        for row in range(1, rows):
            total.addcmul_(view[row], v[row])
        sums.append((ones @ total.reshape(blocks, v.shape[2] * v.shape[3])).view(rest))
    return torch.stack(sums, 1)


def _one_sample(
    x: Tensor, weight: Tensor, lags: Sequence[int], history: int, segments: Segments | None
) -> Tensor:
    """The output for the last sample of each row; the number of operations does not depend on the number of taps."""
    if tuple(lags) == tuple(range(lags[0], lags[-1] + 1)):
        met = x[:, history - lags[-1] : history - lags[0] + 1].flip(1)
    else:
        met = torch.stack([x[:, history - lag] for lag in lags], 1)
    taps = weight[:, 0]
    if segments is not None:
        position = segments.position[:, 0]
        known = torch.stack([position >= lag for lag in lags], 1).unsqueeze(-1)
        met = torch.where(known, met, torch.zeros((), dtype=met.dtype, device=met.device))
        taps = weight[0, position % weight.shape[1]] if weight.shape[1] > 1 else taps
    dtype = accumulation_dtype(x, weight)
    return (taps.to(dtype) * met.to(dtype)).sum(1, keepdim=True).to(x.dtype)
