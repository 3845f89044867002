"""The frame kernel: a matrix of filters applied every M samples, and the synthesis from what they give.

Both are changes of rate, by 1 / M and by M, with one filter for each band. All channels share the bank.
"""

from torch import Tensor

from dsptorch.functional.polyphase_chunk import Chunk, filter_between_rates
from dsptorch.functional.validate import check_int, describe

__all__ = ["analysis", "synthesis"]


def analysis(
    seen: Tensor,
    bank: Tensor,
    stride: int,
    *,
    history: int = 0,
    phase: int = 0,
    position: Tensor | None = None,
) -> Tensor:
    """Filter a signal with each filter of a bank, and keep every M-th sample, M = `stride`.

        v_k[n, c] = sum_m  h_k[m] * x[M n - m, c]

    Frame n stands at sample M n and depends on no later one. From the start of a signal of `time` samples there are
    ceil(time / M) frames, in chunks and in one go.

    Args:
        seen: The chunk, behind its history.
        bank: The filters h_k.
        stride: Samples from one frame to the next, M, at least 1.
        history: How many samples of ``seen`` come before the chunk; those before them are zero. Of a signal that goes
            on, the last numtaps - 1 are needed.
        phase: The position of the chunk's first sample modulo M.
        position: How many samples of its segment came before each sample of the chunk, where a row holds several
            segments, each beginning at a multiple of M in its row. Then no filter reaches across a border.

    Shape:
        seen: (batch, history + time, channels). bank: (bands, numtaps). position: (batch, time).
        Result: (batch, ceil((phase + time) / M) - ceil(phase / M), bands * channels), the channels of a band beside
        each other, in the dtype of ``seen``; half precision is accumulated in float32.

    Raises:
        ValueError: If a shape, ``stride`` or ``history`` is none of these.

    Example:
        >>> import torch
        >>> x = torch.arange(1.0, 7.0).reshape(1, 6, 1)
        >>> haar = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
        >>> analysis(x, haar, stride=2)
        tensor([[[1., 1.],
                 [5., 1.],
                 [9., 1.]]])

    References:
        P. P. Vaidyanathan, Multirate Systems and Filter Banks, 1993, section 5.1 (the analysis bank), page 188.
    """
    _check(seen, bank, stride)
    bands, numtaps = bank.shape
    chunk = Chunk(history, phase, position)
    return filter_between_rates(seen, bank.reshape(-1, 1), 1, stride, numtaps - 1, chunk, fan_out=bands)


def synthesis(
    seen: Tensor,
    bank: Tensor,
    stride: int,
    *,
    history: int = 0,
    position: Tensor | None = None,
) -> Tensor:
    """Put each band back on the time of the signal, filter it, and add the bands.

        y[t, c] = sum_k sum_n  f_k[t - M n] * v_k[n, c],    M = stride

    Each frame gives M samples, the first of which stands at its own time; none depends on a later frame. Where
    f_k[m] = h_k[numtaps - 1 - m], synthesis is the adjoint of `analysis`, delayed by numtaps - 1 samples.

    Args:
        seen: The chunk of frames, behind its history.
        bank: The filters f_k.
        stride: Samples from one frame to the next, M, at least 1.
        history: How many frames of ``seen`` come before the chunk; those before them are zero. Of a signal that goes
            on, the last ceil(numtaps / M) - 1 are needed.
        position: How many frames of its segment came before each frame of the chunk, where a row holds several
            segments. Then no filter reaches across a border.

    Shape:
        seen: (batch, history + frames, bands * channels), the channels of a band beside each other.
        bank: (bands, numtaps). position: (batch, frames).
        Result: (batch, frames * M, channels), in the dtype of ``seen``; half precision is accumulated in float32.

    Raises:
        ValueError: If a shape, ``stride`` or ``history`` is none of these.

    Example:
        >>> import torch
        >>> v = torch.tensor([[1.0, 1.0], [5.0, 1.0]]).reshape(1, 2, 2)
        >>> haar = torch.tensor([[0.5, 0.5], [-0.5, 0.5]])
        >>> synthesis(v, haar, stride=2).flatten()
        tensor([0., 1., 2., 3.])

    References:
        P. P. Vaidyanathan, Multirate Systems and Filter Banks, 1993, section 5.1 (the synthesis bank), page 188.
    """
    _check(seen, bank, stride)
    bands, numtaps = bank.shape
    if seen.shape[2] % bands:
        raise ValueError(
            f"synthesis needs {bands} bands of as many channels each, got {seen.shape[2]} channels; "
            "the channels of a band stand beside each other"
        )
    chunk = Chunk(history, 0, position)
    return filter_between_rates(
        seen, bank.reshape(-1, 1), stride, 1, -(-numtaps // stride) - 1, chunk, fan_in=bands
    )


def _check(seen: Tensor, bank: Tensor, stride: int) -> None:
    if seen.ndim != 3:
        raise ValueError(f"seen must be of shape (batch, time, channels), got {describe(seen)}")
    if bank.ndim != 2 or 0 in bank.shape:
        raise ValueError(
            f"bank must be of shape (bands, numtaps), at least 1 of each, got {tuple(bank.shape)}"
        )
    check_int("stride", stride, least=1)
