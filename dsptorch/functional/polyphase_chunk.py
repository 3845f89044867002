"""Apply filters between two rates to the next chunk of a signal."""

from fractions import Fraction
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dsptorch.functional.gpu.frames import RateForm, takes_rates
from dsptorch.functional.polyphase import block_filter
from dsptorch.functional.polyphase_grid import by_matrix, in_blocks, make_grid, own_samples
from dsptorch.functional.precision import without_autocast
from dsptorch.functional.timeline import outputs_before
from dsptorch.functional.trilinear import V, W, X, partial_derivative

__all__ = ["Chunk", "filter_between_rates"]

_FEW_CHANNELS = 8  # up to this number, channels that share their taps become rows of one matrix product


class Chunk(NamedTuple):
    """The position of a chunk in its signal: arguments of `resample`, `analysis` and `synthesis`.

    Attributes:
        history: Number of samples before the chunk.
        phase: The position of its first sample modulo the period.
        position: Number of samples of the segment before each sample; None if each row is one signal.
    """

    history: int = 0
    phase: int = 0
    position: Tensor | None = None

    def of_rows(self, channels: int) -> "Chunk":
        """The same position for rows of one channel each."""
        if self.position is None:
            return self
        return self._replace(position=self.position.repeat(channels, 1))


def filter_between_rates(
    seen: Tensor,
    taps: Tensor,
    up: int,
    down: int,
    memory: int,
    chunk: Chunk,
    fan_in: int = 1,
    fan_out: int = 1,
) -> Tensor:
    """Apply a filter from each number of an input to each number of an output, `up` outputs per `down` inputs.

    Args:
        seen: The history, followed by the chunk.
        taps: The filters, ordered by the number of the input first.
        up: Outputs per `down` inputs; `up` and `down` have no common factor.
        down: See `up`.
        memory: Number of inputs before the present one that an output uses.
        chunk: The position of the chunk.
        fan_in: Count of numbers in an input.
        fan_out: Count of numbers in an output.

    Shape:
        seen: (batch, history + time, fan_in * channels). taps: (fan_in * fan_out * numtaps, channels or 1).
        Result: (batch, outputs, fan_out * channels).
    """
    history, phase, position = chunk
    start, time = phase % down, seen.shape[1] - history
    if time < 0 or (position is not None and position.shape != (seen.shape[0], time)):
        raise ValueError(
            "seen must be the history and the chunk after it, and position of shape (batch, time), got "
            f"history={history}, seen of shape {tuple(seen.shape)}"
            + ("" if position is None else f" and position of shape {tuple(position.shape)}")
        )
    rate, channels = Fraction(up, down), seen.shape[2] // fan_in
    first, end = outputs_before(start, rate), outputs_before(start + time, rate)
    if not torch.compiler.is_compiling() and (first == end or seen.shape[0] == 0):
        nothing = seen[:, : min(end - first, 1), :channels] * taps[:1]
        return nothing.repeat(1, max(end - first, 1), fan_out).to(seen.dtype)
    numtaps = taps.shape[0] // (fan_in * fan_out)
    if takes_rates(seen, taps, up, down):
        form = RateForm(
            up, down, numtaps, first, start - history, end - first, seen.shape[1], channels // taps.shape[1]
        )
        parts = {X: seen.unflatten(2, (fan_in, -1)), W: taps.view(fan_in, fan_out, numtaps, -1)}
        return partial_derivative(form, V, parts, position).flatten(2)
    shared = taps.shape[1] < channels
    if shared and channels <= _FEW_CHANNELS:
        y = filter_between_rates(
            _channels_as_rows(seen, fan_in), taps, up, down, memory, chunk.of_rows(channels), fan_in, fan_out
        )
        return _rows_as_channels(y, channels)
    dense = by_matrix(taps.shape[0], up, down, channels, shared=shared)
    grid = make_grid(
        numtaps,
        memory,
        up,
        down,
        dense=dense,
        one_period=position is not None,
        fan_in=fan_in,
        fan_out=fan_out,
    )
    x = in_blocks(seen, history, start, grid)
    if position is not None:
        x, grid = own_samples(x, grid, position, start)
    y = block_filter(x, taps, grid)
    y = y.reshape(seen.shape[0], y.shape[1] * grid.outputs, fan_out * channels)
    if first == 0 and not torch.compiler.is_compiling() and end == y.shape[1]:
        return y
    # Not a slice: where a slice cuts nothing, its layout differs, and the compiler makes another graph.
    return F.pad(y, (0, 0, -first, end - y.shape[1]))


def _channels_as_rows(x: Tensor, fan: int) -> Tensor:
    # Not a reshape, because an exporter does not know its strides.
    channels = x.shape[2] // fan
    if channels == 1:
        return x
    with without_autocast(x):  # autocast does not accept every mixture of dtypes
        return torch.cat(x.view(*x.shape[:2], fan, channels).unbind(3))


def _rows_as_channels(y: Tensor, channels: int) -> Tensor:
    if channels == 1:
        return y
    with without_autocast(y):
        return torch.stack(y.view(channels, y.shape[0] // channels, *y.shape[1:]).unbind(), 3).flatten(2)
