"""Changing the rate of a signal by L / M: the filter, its memory, and the law of lengths.

The samples of all functions here stand on one grid: L outputs go with every M inputs, the first of both at the same
time. Where a chunk begins on that grid is a length, never the value of a tensor: the history before it.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from dsptorch.functional.polyphase import block_filter
from dsptorch.functional.polyphase_grid import by_matrix, in_blocks, make_grid, own_samples
from dsptorch.functional.segments import Segments
from dsptorch.functional.validate import describe

__all__ = ["check_grid", "outputs_due", "resample", "resample_history"]

_FEW_CHANNELS = 8  # up to these, channels that share their taps are rows of one product of matrices


def resample(
    seen: Tensor,
    taps: Tensor,
    up: int,
    down: int,
    *,
    history: int = 0,
    position: Tensor | None = None,
) -> Tensor:
    """Change the rate of a signal by up / down, causally, and return the outputs that are due with its chunk.

    With L = up / g, M = down / g, g = gcd(up, down), and n counted from the first multiple of M before the chunk::

        y[n, c] = sum_k  h[(n M mod L) + k L, c] * x[floor(n M / L) - k, c]

    From the start of a signal that is ``scipy.signal.upfirdn(h, x, up, down)[: ceil(T * up / down)]``. Output n
    depends on no input after floor(n M / L). Decimation is L = 1, upsampling is M = 1. For ``torch.export`` with a
    dynamic time, give decimation a least time of M + 1: a graph for many lengths has two outputs at least.

    One channel, and filters of many taps or phases, go through matrices with zeros for the samples that an output does
    not use: where such a sample is infinite or NaN, the output is NaN.

    Args:
        seen: The chunk, behind its history.
        taps: The filter h, at the rate of the input times ``up``.
        up: Outputs per ``down`` inputs, at least 1.
        down: See ``up``.
        history: How many samples of ``seen`` come before the chunk: 0 at the start of a signal (silence comes
            before it), else K - 1 + r for K = ceil(numtaps / up) and r the number of samples since the last multiple
            of M, as :func:`resample_history` keeps them.
        position: How many samples of its segment came before each sample of the chunk, where a row holds several
            segments, each beginning at a multiple of M in its row. Then no tap reaches across a border. A segment
            that begins elsewhere (padding) gives zeros, or its own samples alone, up to the next multiple of M.

    Shape:
        seen: (batch, history + time, channels). taps: (numtaps,) or (numtaps, channels or 1). position: (batch, time).
        Result: (batch, outputs_due(r, time, up, down), channels), in the dtype of ``seen``; half precision is
        accumulated in float32.

    Raises:
        ValueError: If a shape, a rate or ``history`` is none of these.

    Example:
        >>> x = torch.arange(6.0).reshape(1, 6, 1)
        >>> resample(x, torch.tensor([0.5, 0.5]), up=1, down=2).flatten()
        tensor([0.0000, 1.5000, 3.5000])
        >>> resample(x[:, :3], torch.ones(2), up=2, down=1).flatten()
        tensor([0., 0., 1., 1., 2., 2.])

    References:
        P. P. Vaidyanathan, Multirate Systems and Filter Banks, 1993, section 4.1.1 (decimators and expanders),
        page 100.
    """
    taps = _checked_taps(seen, taps)
    memory, up, down, taps = _reduced(taps, up, down)
    start = _start(history, memory, down)
    time = seen.shape[1] - history
    shape = (seen.shape[0], time)
    if time < 0 or (position is not None and position.shape != shape):
        raise ValueError(
            "seen must be the history and the chunk after it, and position of shape (batch, time), got "
            f"history={history}, seen of shape {tuple(seen.shape)}"
            + ("" if position is None else f" and position of shape {tuple(position.shape)}")
        )
    first, end = _outputs(start, up, down), _outputs(start + time, up, down)
    if not torch.compiler.is_compiling() and first == end:
        return (seen[:, :0] * taps[:1]).to(seen.dtype)
    channels = seen.shape[2]
    if taps.shape[1] < channels:
        if channels <= _FEW_CHANNELS or by_matrix(taps.shape[0], up, down, channels):
            rows = seen.transpose(1, 2).reshape(seen.shape[0] * channels, seen.shape[1], 1)
            ages = None if position is None else position.repeat_interleave(channels, 0)
            y = resample(rows, taps, up, down, history=history, position=ages)
            return y.view(seen.shape[0], channels, y.shape[1]).transpose(1, 2)
        taps = taps.expand(-1, channels)
    grid = make_grid(taps.shape[0], memory, up, down, channels, one_period=position is not None)
    x = in_blocks(seen, history, start, grid)
    if position is not None:
        x, grid = own_samples(x, grid, position, start)
    y = block_filter(x, taps, grid)
    y = y.reshape(seen.shape[0], y.shape[1] * grid.outputs, channels)
    # Not a slice: it has another layout where nothing is cut, and so another graph.
    return F.pad(y, (0, 0, -first, end - y.shape[1]))


def outputs_due(start: int, time: int, up: int, down: int) -> int:
    """How many outputs are due with a chunk: ceil((r + t) L / M) - ceil(r L / M), the law of lengths.

    Args:
        start: How many samples came before the chunk, or since the last multiple of the period, r.
        time: The samples of the chunk, t.
        up: Outputs per ``down`` inputs, L.
        down: See ``up``, M.

    Example:
        >>> [outputs_due(start, 1, up=1, down=4) for start in range(5)]
        [1, 0, 0, 0, 1]
    """
    return _outputs(start + time, up, down) - _outputs(start, up, down)


def resample_history(seen: Tensor, numtaps: int, up: int, down: int, *, history: int = 0) -> Tensor:
    """The samples that :func:`resample` needs before the next chunk, in memory of their own.

    Args:
        seen: What ``resample`` was given: the chunk behind its history.
        numtaps: Length of the filter.
        up: Outputs per ``down`` inputs.
        down: See ``up``.
        history: How many samples of ``seen`` come before the chunk.

    Shape:
        seen: (batch, history + time, channels). Result: (batch, K - 1 + r, channels), K = ceil(numtaps / up) and r
        the number of samples since the last multiple of down / gcd(up, down).

    Example:
        >>> x, taps = torch.arange(7.0).reshape(1, 7, 1), torch.tensor([0.5, 0.5])
        >>> kept = resample_history(x[:, :4], 2, up=1, down=3)
        >>> kept.flatten()
        tensor([2., 3.])
        >>> resample(torch.cat([kept, x[:, 4:]], 1), taps, up=1, down=3, history=2).flatten()
        tensor([5.5000])
    """
    memory, down = -(-numtaps // up) - 1, down // math.gcd(up, down)
    start = _start(history, memory, down)
    length = memory + (start + seen.shape[1] - history) % down
    return F.pad(seen, (0, 0, length - seen.shape[1], 0)).clone()  # where it is negative, the oldest are cut


def check_grid(segments: Segments, period: int, start: int = 0) -> None:
    """Raise unless each segment begins at a multiple of the period in its row; padding may begin anywhere.

    On a GPU the check is asynchronous (``torch._assert_async``); while compiling there is none.

    Args:
        segments: Where the samples of a chunk stand.
        period: The period in samples, at least 1.
        start: How many samples came before the chunk, or since the last multiple of the period.

    Raises:
        ValueError: If a segment begins elsewhere.

    Example:
        >>> from dsptorch.functional.segments import find_segments
        >>> check_grid(find_segments(torch.tensor([[0, 0, 0, -1, 1, 1]])), period=4)
    """
    if period == 1 or torch.compiler.is_compiling():
        return
    times = torch.arange(segments.position.shape[1], device=segments.position.device) + start
    wrong = (segments.position == 0) & ~segments.padding & (times % period != 0)
    cure = (
        f"pad each segment to a multiple of {period} samples (negative ids), so that the next begins at one"
    )
    if wrong.device.type != "cpu":
        torch._assert_async(~wrong.any(), cure)
    elif wrong.any():
        row, time = wrong.nonzero()[0].tolist()
        raise ValueError(f"{cure}; got a segment of row {row} that begins at {time + start}")


def _outputs(time: int, up: int, down: int) -> int:
    return (time * up + down - 1) // down


def _checked_taps(seen: Tensor, taps: Tensor) -> Tensor:
    if seen.ndim != 3:
        raise ValueError(f"seen must be of shape (batch, time, channels), got {describe(seen)}")
    wide = taps.unsqueeze(1) if taps.ndim == 1 else taps
    if wide.ndim != 2 or wide.shape[0] == 0 or wide.shape[1] not in (1, seen.shape[2]):
        raise ValueError(
            f"taps must be of shape (numtaps,) or (numtaps, {seen.shape[2]} or 1) with numtaps >= 1, "
            f"got {tuple(taps.shape)}"
        )
    return wide


def _reduced(taps: Tensor, up: int, down: int) -> tuple[int, int, int, Tensor]:
    """The memory K - 1, and L, M and the taps without their common factor: it only meets zeros in between."""
    if up < 1 or down < 1:
        raise ValueError(f"up and down must be integers >= 1, got up={up}, down={down}")
    common = math.gcd(up, down)
    return -(-taps.shape[0] // up) - 1, up // common, down // common, taps[::common]


def _start(history: int, memory: int, down: int) -> int:
    """Where on its period a chunk begins, given the length of the history before it."""
    if history == 0:
        return 0
    if not memory <= history < memory + down:
        raise ValueError(
            f"history must be 0, or {memory} to {memory + down - 1} samples for these taps and this rate, "
            f"got {history}; keep it by resample_history"
        )
    return history - memory
