"""A numerically controlled oscillator: exact phase at any position, and four waveforms.

Phase is in cycles and frequency in cycles per step, so a waveform has period 1. As in a hardware oscillator, the phase
accumulator is an integer that wraps, and position 10^12 is as exact as position 0. The float32 expression
``sin(2 * pi * f * t)`` is off by 0.07 at t = 10^7.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["PhaseWords", "lfo_phase", "phase_at", "phase_words", "saw", "sine", "square", "triangle"]

_HALF_WORD = 2.0**32


def lfo_phase(freq: Tensor, position: Tensor, phase: Tensor | float = 0.0) -> Tensor:
    """Return the wrapped phase of an oscillator at an absolute position, without loss of precision.

    The frequency becomes a 64-bit phase increment, and the product wraps modulo 2^64, which is one cycle::

        p = frac(freq * position + phase) in [-1/2, 1/2)  =  int64(2^64 freq) * position + int64(2^64 phase)

    The increment is exact for float32 frequencies of at least 2^-40 and float64 ones of at least 2^-12 (and
    for multiples of 2^-64 below); otherwise its last bit costs at most ``|position| * 2^-64`` cycles.

    The gradient is that of the unwrapped phase: ``position`` for ``freq`` and 1 for ``phase``, at every order
    and in both modes.

    Args:
        freq: Cycles per step, any sign and size; half precision is computed in float32.
        position: int64 step numbers, any sign, broadcastable with ``freq``.
        phase: Offset in cycles, a number or a tensor broadcastable with both.

    Shape:
        Output: the broadcast shape; float64 if ``freq`` or a ``phase`` tensor is float64, else float32.

    Raises:
        TypeError: If ``freq`` or ``phase`` is not floating-point or ``position`` is not int64.

    Example:
        >>> lfo_phase(torch.tensor(0.25), torch.arange(5))
        tensor([ 0.0000,  0.2500, -0.5000, -0.2500,  0.0000])
        >>> lfo_phase(torch.tensor(0.125), torch.tensor(8 * 10**12 + 1))
        tensor(0.1250)

    References:
        Tierney, Rader and Gold, "A digital frequency synthesizer", IEEE Trans. Audio and Electroacoustics 19,
        1971, pages 48-57.
    """
    if not isinstance(phase, Tensor):
        phase = torch.full((), phase, dtype=freq.dtype, device=freq.device)
    if not (freq.is_floating_point() and phase.is_floating_point()):
        raise TypeError(f"freq and phase must be floating-point, got {freq.dtype} and {phase.dtype}")
    if position.dtype != torch.int64:
        raise TypeError(f"position must be int64 (a float one loses steps), got {position.dtype}")
    dtype = torch.promote_types(torch.promote_types(freq.dtype, phase.dtype), torch.float32)
    freq, phase = freq.to(dtype), phase.to(dtype)
    exact = phase_at(phase_words(freq.detach(), phase.detach()), position)
    # This term is 0; it adds the derivative, in every mode.
    unwrapped = freq * position.to(dtype) + phase
    return exact + (unwrapped - unwrapped.detach())


def sine(phase: Tensor) -> Tensor:
    """Return ``sin(2 pi phase)``, within 1.2e-7 in float32, with its true gradient ``2 pi cos(2 pi phase)``.

    Args:
        phase: Cycles.

    Shape:
        Output: as ``phase``, in [-1, 1].

    Example:
        >>> sine(torch.tensor([0.0, 0.25, 0.5, 0.75]))
        tensor([ 0.,  1.,  0., -1.])
    """
    return torch.sin(2 * math.pi * _fold(phase))


def triangle(phase: Tensor) -> Tensor:
    """Return the triangle wave with the sine's zeros and peaks: ``(2 / pi) arcsin(sin(2 pi phase))``.

    The gradient is 4 where the wave rises (and at both corners) and -4 where it falls.

    Args:
        phase: Cycles.

    Shape:
        Output: as ``phase``, in [-1, 1].

    Example:
        >>> triangle(torch.tensor([0.0, 0.125, 0.25, 0.5, 0.75]))
        tensor([ 0.0000,  0.5000,  1.0000,  0.0000, -1.0000])
    """
    return 4 * _fold(phase)


def saw(phase: Tensor) -> Tensor:
    """Return the saw that rises through 0 at phase 0: ``2 (phase - round(phase))``.

    The gradient is 2 everywhere; the jump at half a cycle, where the value is 1 or -1, adds nothing to it.

    Args:
        phase: Cycles.

    Shape:
        Output: as ``phase``, in [-1, 1].

    Example:
        >>> saw(torch.tensor([0.0, 0.25, 0.75, 1.0]))
        tensor([ 0.0000,  0.5000, -0.5000,  0.0000])
    """
    return 2 * _wrap(phase)


def square(phase: Tensor) -> Tensor:
    """Return the square wave with the sine's sign: 1 from phase 0 on, -1 after half a cycle.

    The gradient is 0 everywhere: nothing is learned through a square wave.

    Args:
        phase: Cycles.

    Shape:
        Output: as ``phase``, -1 or 1.

    Example:
        >>> square(torch.tensor([0.0, 0.25, 0.75, 1.0]))
        tensor([ 1.,  1., -1.,  1.])
    """
    return torch.sign(torch.sign(_wrap(phase)) + 0.5)


def _wrap(phase: Tensor) -> Tensor:
    """Subtract the nearest whole number: the result is in [-1/2, 1/2], exact, with gradient 1."""
    return phase - torch.round(phase)


def _fold(phase: Tensor) -> Tensor:
    """Reflect into [-1/4, 1/4], exactly and with the same sine: a float32 sine is accurate for small arguments."""
    wrapped = _wrap(phase)
    return torch.where(wrapped.abs() > 0.25, 0.5 * torch.sign(wrapped) - wrapped, wrapped)


class PhaseWords(NamedTuple):
    """An oscillator as integers: the increment and the initial value of a phase accumulator.

    Attributes:
        increment: 2^64 times the frequency, modulo 2^64: int64.
        offset: 2^64 times the phase at position 0, modulo 2^64: int64.
        finite: 0 where frequency and phase are finite, else NaN, in the dtype of the phase.
    """

    increment: Tensor
    offset: Tensor
    finite: Tensor


def phase_words(freq: Tensor, phase: Tensor) -> PhaseWords:
    """Return the integers of an oscillator, which do not depend on the position.

    Args:
        freq: Cycles per step, float32 or float64.
        phase: Cycles, in the same dtype.
    """
    return PhaseWords(_fixed_point(freq), _fixed_point(phase), 0 * freq + 0 * phase)


def phase_at(words: PhaseWords, position: Tensor) -> Tensor:
    """Return the wrapped phase, in [-1/2, 1/2), at absolute positions: `lfo_phase` without a gradient."""
    word = words.increment * position + words.offset
    dtype = words.finite.dtype
    # Clamp to the largest float below 1/2: greater integers would round up to 1/2.
    word = word.clamp(max=2**63 - (2**39 if dtype == torch.float32 else 2**10))
    return word.to(dtype) * 2.0**-64 + words.finite


def _fixed_point(cycles: Tensor) -> Tensor:
    """Return ``cycles * 2^64`` modulo 2^64 as int64, one half word at a time.

    Every step is exact: the dtype holds the remainder of rounding to the nearest integer, and truncation (unlike floor)
    leaves a remainder of the same sign.
    """
    high = _wrap(cycles) * _HALF_WORD
    word = torch.trunc(high)
    low = (high - word) * _HALF_WORD
    return (word.to(torch.int64) << 32) + low.to(torch.int64)
