"""The frame kernel: a matrix of filters applied every M samples (analysis), and its adjoint (synthesis).

Analysis changes the rate by 1 / M, synthesis by M, with one filter for each band. All channels share the bank.
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
    """Filter a signal with each filter of a bank and keep every M-th sample, M = `stride`.

        v_k[n, c] = sum_m  h_k[m] * x[M n - m, c]

    Frame n stands at sample M n and depends on no later sample. A signal of `time` samples has ceil(time / M) frames,
    whole or in chunks.

    Args:
        seen: The history, followed by the chunk.
        bank: The filters h_k.
        stride: Samples from one frame to the next, M, at least 1.
        history: Number of samples of ``seen`` before the chunk; earlier samples are taken as zero. To continue a
            signal, pass its last numtaps - 1 samples.
        phase: The position of the chunk's first sample modulo M.
        position: For rows that hold several segments: the number of samples of the segment before each sample of the
            chunk. Each segment must begin at a multiple of M in its row. No filter then reaches across a boundary.

    Shape:
        seen: (batch, history + time, channels). bank: (bands, numtaps). position: (batch, time).
        Result: (batch, ceil((phase + time) / M) - ceil(phase / M), bands * channels), the channels of a band
        contiguous, in the dtype of ``seen``; half precision is accumulated in float32.

    Raises:
        ValueError: If a shape, ``stride`` or ``history`` is not as described.

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
    """Upsample each band to the rate of the signal, filter it, and add the bands.

        y[t, c] = sum_k sum_n  f_k[t - M n] * v_k[n, c],    M = stride

    Each frame gives M samples, the first at the time of the frame; no sample depends on a later frame. With
    f_k[m] = h_k[numtaps - 1 - m], synthesis is the adjoint of `analysis`, delayed by numtaps - 1 samples.

    Args:
        seen: The history, followed by the chunk of frames.
        bank: The filters f_k.
        stride: Samples from one frame to the next, M, at least 1.
        history: Number of frames of ``seen`` before the chunk; earlier frames are taken as zero. To continue a
            signal, pass its last ceil(numtaps / M) - 1 frames.
        position: For rows that hold several segments: the number of frames of the segment before each frame of the
            chunk. No filter then reaches across a boundary.

    Shape:
        seen: (batch, history + frames, bands * channels), the channels of a band contiguous.
        bank: (bands, numtaps). position: (batch, frames).
        Result: (batch, frames * M, channels), in the dtype of ``seen``; half precision is accumulated in float32.

    Raises:
        ValueError: If a shape, ``stride`` or ``history`` is not as described.

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
