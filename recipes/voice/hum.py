"""Unseen voices without what is below speech: do networks code a voice badly, or its hum?

A telephone passes nothing below some 200 Hz, and the voices that are trained on are filtered so. What is below is taken
out here, by a high-pass before the codes are made anew, for the models of a study and for the anchor LPC alike.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from dsptorch import Biquad, Chain

from .codes import decode, encode
from .evaluate import bits_of
from .source import RATE

CORNER = 180.0  # Hz
BUTTERWORTH = (0.5412, 1.3066)  # the qualities of two sections that make order 4


@torch.no_grad()
def without_hum(codes: Tensor) -> Tensor:
    """Return the codes of a signal without its hum: uint8, (time,) -> the same."""
    highpass = Chain(*(Biquad(1, "highpass", freq=CORNER / RATE, q=q) for q in BUTTERWORTH))
    filtered = highpass(decode(codes).view(1, -1, 1)).flatten()
    return encode((filtered.clamp(-1, 1) * (2**15 - 1)).round().short())


def bits_without_hum(
    models: Mapping[str, nn.Module], parts: Mapping[str, Tensor]
) -> dict[str, dict[str, float]]:
    """Return the bits per sample of models, by their names and those of the parts.

    Args:
        models: In eval mode.
        parts: Codes, uint8, (time,).
    """
    filtered = {part: without_hum(codes) for part, codes in parts.items()}
    return {
        name: {part: bits_of(model, codes) for part, codes in filtered.items()}
        for name, model in models.items()
    }
