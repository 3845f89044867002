"""Spectra of real signals and their energies, with derivatives that cost as much as the forward pass.

PyTorch's derivative of `torch.fft.rfft` is a complex transform of the whole spectrum, half of which is zero. PyTorch's
derivative of |z|^2 by real and imaginary parts fills four complex tensors. The derivatives here are one real transform
and one product.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import Function

from dsptorch.functional.memo import is_transformed
from dsptorch.functional.operators import with_signature

__all__ = ["occurrences", "real_spectrum", "squared_magnitude"]


def real_spectrum(x: Tensor, n_fft: int) -> Tensor:
    """The spectrum of each row, at the frequencies k / n_fft: `torch.fft.rfft` in the last dimension.

        X[k] = sum_i  x[i] exp(-2 pi i k i / n_fft),    k = 0 ... n_fft // 2

    Args:
        x: The rows, real, of at most n_fft samples. An empty tensor is allowed.
        n_fft: The length of the transform.

    Shape:
        (..., time) -> (..., n_fft // 2 + 1), complex.

    Example:
        >>> real_spectrum(torch.tensor([1.0, 0.0, 0.0, 0.0]), 4)
        tensor([1.+0.j, 1.+0.j, 1.+0.j])
    """
    if not torch.compiler.is_compiling() and not x.numel():  # of nothing, MKL refuses a transform
        nothing = x.new_zeros(*x.shape[:-1], n_fft // 2 + 1) + 0 * x.sum()
        return torch.complex(nothing, nothing)
    y: Tensor = _RealSpectrum.apply(x, n_fft) if _records() else torch.fft.rfft(x, n_fft)  # type: ignore[no-untyped-call]
    return y


def squared_magnitude(z: Tensor) -> Tensor:
    """|z|^2 of complex numbers.

    Example:
        >>> squared_magnitude(torch.tensor([3 + 4j]))
        tensor([25.])
    """
    y: Tensor = _SquaredMagnitude.apply(z) if _records() else _squared(z)  # type: ignore[no-untyped-call]
    return y


def occurrences(n_fft: int, like: Tensor) -> Tensor:
    """How often the full spectrum has each frequency of `real_spectrum`: twice, except for 0 and the last one.

    Args:
        n_fft: The length of the transform. If it is odd, only the frequency 0 occurs once.
        like: A tensor of the device and dtype.

    Example:
        >>> occurrences(4, torch.zeros(()))
        tensor([1., 2., 1.])
    """
    at = torch.arange(n_fft // 2 + 1, device=like.device)
    times: Tensor = 1 + (-at % n_fft != at).to(like.dtype)
    return times


def _records() -> bool:
    """Whether a Function is recorded: compilers and `torch.jit.trace` take the derivatives of the operations."""
    if torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None:
        return False
    return torch.is_grad_enabled() or is_transformed()


class _RealSpectrum(Function):
    @staticmethod
    @with_signature
    def forward(x: Tensor, n_fft: int) -> Tensor:
        spectrum: Tensor = torch.fft.rfft(x, n_fft)
        return spectrum

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int], _output: Tensor) -> None:
        x, ctx.n_fft = inputs
        ctx.time = x.shape[-1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        # Re sum_k G[k] exp(2 pi i k t / n_fft), of which an inverse transform takes the inner frequencies twice
        adjoint = torch.fft.irfft(gradient / occurrences(ctx.n_fft, gradient.real), ctx.n_fft, norm="forward")
        return adjoint.narrow(-1, 0, ctx.time), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _n_fft: None) -> Tensor:
        return real_spectrum(tangent, ctx.n_fft)

    @staticmethod
    def vmap(_info: Any, in_dims: tuple[int, None], x: Tensor, n_fft: int) -> tuple[Tensor, int]:
        return real_spectrum(x.movedim(in_dims[0], 0), n_fft), 0


class _SquaredMagnitude(Function):
    generate_vmap_rule = True

    @staticmethod
    @with_signature
    def forward(z: Tensor) -> Tensor:
        return _squared(z)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], _output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (z,) = ctx.saved_tensors
        adjoint: Tensor = (2 * gradient) * z
        return adjoint

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Tensor:
        (z,) = ctx.saved_tensors
        moved: Tensor = 2 * (z.real * tangent.real + z.imag * tangent.imag)
        return moved


def _squared(z: Tensor) -> Tensor:
    energy: Tensor = z.real.square() + z.imag.square()
    return energy
