"""Signals, their shapes and dtypes, and chunkings."""

import math

import torch
from hypothesis import strategies as st
from torch import Tensor

_DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def dtypes() -> st.SearchStrategy[torch.dtype]:
    """Floating-point dtypes; the simplest is float64.

    Example:
        >>> from hypothesis import find
        >>> find(dtypes(), lambda dtype: dtype.itemsize == 2)
        torch.bfloat16
    """
    return st.sampled_from(_DTYPES)


def shapes(
    max_batch: int = 3, max_time: int = 16, max_width: int = 4, *, min_batch: int = 0, min_time: int = 0
) -> st.SearchStrategy[tuple[int, int, int]]:
    """Shapes (batch, time, channels), including 0 rows and 0 time steps; the simplest is the smallest.

    Args:
        max_batch: The most rows.
        max_time: The most samples.
        max_width: The most channels; at least 1.
        min_batch: The fewest rows.
        min_time: The fewest samples.

    Example:
        >>> from hypothesis import find
        >>> find(shapes(), lambda shape: shape[1] > 2)
        (0, 3, 1)
    """
    return st.tuples(
        st.integers(min_batch, max_batch), st.integers(min_time, max_time), st.integers(1, max_width)
    )


@st.composite
def signals(
    draw: st.DrawFn,
    shape: tuple[int, int, int] | st.SearchStrategy[tuple[int, int, int]] | None = None,
    dtype: torch.dtype | st.SearchStrategy[torch.dtype] = torch.float64,
) -> Tensor:
    """Structured signals.

    Silence, one impulse, a constant, a tone, noise, impulses, small whole numbers, noise after a long silence. A
    failure shrinks to the simplest kind that still fails, in this order, and that to few and small numbers.

    Args:
        shape: (batch, time, channels), or a strategy of such; None: small ones, see `shapes`.
        dtype: The dtype of the signal, or a strategy of dtypes.

    Example:
        >>> from hypothesis import find
        >>> find(signals((1, 4, 1)), lambda x: (x != 0).sum() == 1).flatten()
        tensor([1., 0., 0., 0.], dtype=torch.float64)
        >>> find(signals((1, 4, 1)), lambda x: (x > 0).all()).flatten()
        tensor([1., 1., 1., 1.], dtype=torch.float64)
    """
    batch, time, width = shape if isinstance(shape, tuple) else draw(shapes() if shape is None else shape)
    kind = dtype if isinstance(dtype, torch.dtype) else draw(dtype)
    x = torch.zeros(batch, time, width, dtype=torch.float64)
    if x.numel() == 0:
        return x.to(kind)
    name = draw(
        st.sampled_from(("silence", "impulse", "constant", "tone", "noise", "impulses", "whole", "late"))
    )
    if name == "impulse":
        x.view(-1)[draw(st.integers(0, x.numel() - 1))] = 1
    elif name == "impulses":
        index = st.tuples(st.integers(0, batch - 1), st.integers(0, time - 1), st.integers(0, width - 1))
        for at in draw(st.lists(index, min_size=1, max_size=3, unique=True)):
            x[at] = draw(_amplitudes())
    elif name == "constant":
        x += draw(_amplitudes()) * (1 + torch.arange(width))
    elif name == "tone":
        cycles = draw(st.integers(1, max(1, time // 2)))  # in the length: up to Nyquist
        phase = draw(st.integers(0, 3)) / 4
        t = torch.arange(time, dtype=torch.float64)
        x += draw(_amplitudes()) * torch.cos(2 * math.pi * (cycles * t / time + phase)).unsqueeze(-1)
    elif name == "whole":
        values = st.lists(st.integers(-4, 4), min_size=min(time, 16), max_size=min(time, 16))
        pattern = torch.tensor(draw(values), dtype=torch.float64)
        x += pattern[torch.arange(time) % len(pattern)].unsqueeze(-1) * (1 + torch.arange(width))
    elif name in ("noise", "late"):
        generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
        x = torch.randn(x.shape, dtype=torch.float64, generator=generator)
        if name == "late":
            x[:, : draw(st.integers(0, time))] = 0
    return x.to(kind)


def chunkings(total: int, *, max_chunks: int = 6) -> st.SearchStrategy[list[int]]:
    """Lengths of chunks that add up to a total, including empty chunks; the simplest is one chunk.

    Args:
        total: Samples, at least 0.
        max_chunks: The most chunks, at least 1.

    Example:
        >>> from hypothesis import find
        >>> find(chunkings(5), lambda lengths: len(lengths) == 2 and 0 not in lengths)
        [1, 4]
    """
    cuts = st.lists(st.integers(0, total), max_size=max_chunks - 1).map(sorted)
    return cuts.map(lambda at: [b - a for a, b in zip([0, *at], [*at, total], strict=True)])


def _amplitudes() -> st.SearchStrategy[float]:
    return st.sampled_from((1.0, 2.0, -1.0, -3.0, 0.5, 100.0))
