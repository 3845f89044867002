"""Mu-law: 16-bit samples as 256 codes, finer for soft sounds."""

from __future__ import annotations

import math

import torch
from torch import Tensor

LEVELS = 256
MU = LEVELS - 1


def encode(samples: Tensor) -> Tensor:
    """Return the codes of samples: int16, (...) -> uint8, (...).

        code = floor((sign(x) log(1 + 255 |x|) / log(256) + 1) / 2 * 255 + 1/2),   x = sample / 32768

    The formula is that of torchaudio.functional.mu_law_encoding.
    """
    x = samples.double() / 32768
    companded = x.sign() * torch.log1p(MU * x.abs()) / math.log1p(MU)
    return ((companded + 1) / 2 * MU + 0.5).to(torch.uint8)


def decode(codes: Tensor) -> Tensor:
    """Return the values of codes, in [-1, 1]: float64 of the same shape."""
    companded = codes.double() / MU * 2 - 1
    return companded.sign() * torch.expm1(companded.abs() * math.log1p(MU)) / MU


def edges() -> Tensor:
    """Return the values between one code and the next, and infinities at the ends: (257,), ascending."""
    inner = decode(torch.arange(1, LEVELS) - 0.5)
    infinity = torch.full((1,), torch.inf, dtype=inner.dtype)
    return torch.cat([-infinity, inner, infinity])
