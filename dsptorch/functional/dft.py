"""Filterbanks of the discrete Fourier transform of windowed frames."""

import math

import torch
from torch import Tensor

from dsptorch.functional.paraunitary import unit_vectors
from dsptorch.functional.precision import at_least_single

__all__ = ["dft_bank", "dual_window", "tight_window"]


def dft_bank(window: Tensor) -> Tensor:
    """Return the filters whose outputs are the real and imaginary parts of the orthonormal DFT of windowed frames.

    Each frame has N samples and stands at the time of the last one. With the window w and K = N / 2 + 1 bands::

        v_k[n] = sqrt(c_k / N) sum_i  w[i] x[M n - (N - 1) + i] exp(-2 pi j k i / N),   c_k = 1 for k = 0, N / 2; else 2

    Band k has its centre at k / N cycles per sample. The imaginary parts of bands 0 and N / 2 are 0. The synthesis
    filters are ``dft_bank(dual).flip(1)``, for any dual window of the analysis window (:func:`dual_window`).

    Args:
        window: The window w, of even length N.

    Shape:
        window: (N,). Result: (2 K, N), the real part of each band before its imaginary part, float32 at least.

    Raises:
        ValueError: If ``window`` has another shape.

    Example:
        >>> dft_bank(torch.ones(2)).mul(2).square().round()
        tensor([[2., 2.],
                [0., 0.],
                [2., 2.],
                [0., 0.]])

    References:
        J. B. Allen and L. R. Rabiner, A unified approach to short-time Fourier analysis and synthesis, Proceedings of
        the IEEE 65(11), 1977, pages 1558-1564.
    """
    if window.ndim != 1 or len(window) == 0 or len(window) % 2:
        raise ValueError(f"window must be of shape (numtaps,), an even number, got {tuple(window.shape)}")
    numtaps = len(window)
    reversed_ = at_least_single(window).flip(0)
    i = torch.arange(numtaps - 1, -1, -1, device=window.device)
    k = torch.arange(numtaps // 2 + 1, device=window.device).unsqueeze(1)
    phase = (k * i % numtaps).to(reversed_.dtype) * (2 * math.pi / numtaps)
    gain = ((k % (numtaps // 2) > 0).to(reversed_.dtype) + 1).div(numtaps).sqrt()
    imaginary = torch.where(k % (numtaps // 2) > 0, -phase.sin(), 0)
    return (torch.stack([phase.cos(), imaginary], 1) * (gain.unsqueeze(1) * reversed_)).flatten(0, 1)


def dual_window(window: Tensor, stride: int) -> Tensor:
    """Return the synthesis window of least energy that reconstructs with a given analysis window.

        d[i] = w[i] / sum_j w[i + M j]^2,   M = stride

    Args:
        window: w.
        stride: Samples from one frame to the next, a divisor of the length.

    Shape:
        window: (N,). Result: (N,), float32 at least.

    Raises:
        ValueError: If ``stride`` does not divide the length.

    Example:
        >>> dual_window(torch.tensor([1.0, 2.0, 3.0, 1.0]), stride=2)
        tensor([0.1000, 0.4000, 0.3000, 0.2000])

    References:
        I. Daubechies, A. Grossmann and Y. Meyer, Painless nonorthogonal expansions, Journal of Mathematical Physics
        27(5), 1986, pages 1271-1283.
    """
    frames = _by_phase(window, stride)
    return (frames / frames.square().sum(0)).flatten()


def tight_window(window: Tensor, stride: int) -> Tensor:
    """Scale a window so that it is its own dual window.

        t[i] = w[i] / sqrt(sum_j w[i + M j]^2),   M = stride

    Args:
        window: w.
        stride: Samples from one frame to the next, a divisor of the length.

    Shape:
        window: (N,). Result: (N,), float32 at least.

    Raises:
        ValueError: If ``stride`` does not divide the length.

    Example:
        >>> tight_window(torch.tensor([3.0, 1.0, 4.0, 0.0]), stride=2)
        tensor([0.6000, 1.0000, 0.8000, 0.0000])

    References:
        I. Daubechies, A. Grossmann and Y. Meyer, Painless nonorthogonal expansions, Journal of Mathematical Physics
        27(5), 1986, pages 1271-1283.
    """
    return unit_vectors(_by_phase(window, stride).T).T.flatten()


def _by_phase(window: Tensor, stride: int) -> Tensor:
    """The window in rows of `stride` samples."""
    if window.ndim != 1 or stride < 1 or len(window) == 0 or len(window) % stride:
        raise ValueError(
            f"stride must divide the length of a window of shape (numtaps,), got stride={stride} and a window of "
            f"shape {tuple(window.shape)}"
        )
    return at_least_single(window).view(-1, stride)
