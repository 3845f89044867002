"""Square and saw waves with rounded corners. They are smooth, so frequency and phase get useful gradients.

Phase is in cycles, as in `dsptorch.functional.oscillator`. The harmonics of an ideal square or saw fade as 1 / k; here
the k-th harmonic is also multiplied by ``sharpness ** k``. Both sums have a closed form.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from dsptorch.functional.oscillator import sine, triangle
from dsptorch.functional.validate import check_finite

__all__ = ["WAVEFORMS", "check_sharpness", "soft_saw", "soft_square"]


def soft_square(phase: Tensor, sharpness: float = 0.9) -> Tensor:
    """Return a square wave with rounded corners and the zeros and peaks of a sine.

        atan(2 r sin(2 pi phase) / (1 - r^2)) / (2 atan r),   r = sharpness

    Up to a factor, this is the sum of r^k sin(2 pi k phase) / k over odd k.

    Args:
        phase: Cycles.
        sharpness: r, in [0.01, 0.999]. Near 0 the wave is a sine, near 1 it is `square`.

    Shape:
        Output: as ``phase``, in [-1, 1] within rounding.

    Example:
        >>> soft_square(torch.tensor([0.0, 0.0625, 0.25, 0.75]))
        tensor([ 0.0000,  0.8881,  1.0000, -1.0000])

    References:
        I. S. Gradshteyn and I. M. Ryzhik, Table of Integrals, Series, and Products, 7th ed., 2007, 1.448 (the sums).
    """
    r = check_sharpness(sharpness)
    return torch.atan(2 * r / (1 - r * r) * sine(phase)) / (2 * math.atan(r))


def soft_saw(phase: Tensor, sharpness: float = 0.9) -> Tensor:
    """Return a saw wave with rounded corners. It rises through 0 at phase 0 and falls through 0 half a cycle later.

        atan(r sin(2 pi phase) / (1 + r cos(2 pi phase))) / asin(r),   r = sharpness

    Up to a factor, this is the sum of -(-r)^k sin(2 pi k phase) / k over all k.

    Args:
        phase: Cycles.
        sharpness: r, in [0.01, 0.999]. Near 0 the wave is a sine, near 1 it is `saw`.

    Shape:
        Output: as ``phase``, in [-1, 1] within rounding.

    Example:
        >>> soft_saw(torch.tensor([0.0, 0.125, 0.25, 0.4282, 0.5]))
        tensor([0.0000, 0.3312, 0.6544, 1.0000, 0.0000])

    References:
        I. S. Gradshteyn and I. M. Ryzhik, Table of Integrals, Series, and Products, 7th ed., 2007, 1.448 (the sum).
    """
    r = check_sharpness(sharpness)
    # 1 + cos(2 a) is computed as 2 cos(a)^2, which does not cancel where it is small.
    below = (1 - r) + 2 * r * sine(phase / 2 + 0.25).square()
    return torch.atan(r * sine(phase) / below) / math.asin(r)


def check_sharpness(sharpness: float) -> float:
    """Return the sharpness of a wave's corners if it is in range; otherwise raise."""
    if not 0.01 <= check_finite("sharpness", sharpness) <= 0.999:
        raise ValueError(f"sharpness must be in [0.01, 0.999], got {sharpness}")
    return float(sharpness)


WAVEFORMS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "sine": lambda phase, _: sine(phase),
    "triangle": lambda phase, _: triangle(phase),
    "square": soft_square,
    "saw": soft_saw,
}
"""The waveforms of an LFO by name, of the phase and the sharpness: all aligned with the sine, all in [-1, 1]."""
