"""Local mixers that others proposed, as arms to compare the study's blocks with: a few lines each, of dsptorch's FIR.

================  ==========================================================================
canon             a causal filter of 4 taps beside the identity, at four sites of every block
haar              causal averages, of windows 2, 4, 8, ..., on half of the channels of the stream
dilated           causal filters whose taps lie 1, 2, 4, ... bytes apart, a distance a block
================  ==========================================================================

References:
    Z. Allen-Zhu, Physics of Language Models: Part 4.1, 2025 (Canon layers).
    P. Verma, WaveletGPT: Wavelet Inspired Large Language Models, 2024.
    A. van den Oord et al., WaveNet: A Generative Model for Raw Audio, 2016 (dilated causal convolutions).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from dsptorch import FIR, insert

from .errors import UsageError
from .model import GPT, Block

BRANCHES = ("blocks.*.attn.norm", "blocks.*.mlp.norm")
CANON_SITES = {  # by the paper's letters
    "A": "blocks.*.attn.norm",
    "C": "blocks.*.mlp.norm",
    "B": "blocks.*.attn.attn.qkv",
    "D": "blocks.*.mlp.mlp.0",
}


def canon(width: int, kernel_size: int = 4) -> FIR:
    """Return y = x + conv(x), whose taps begin as those of `nn.Conv1d`: uniform within 1 / sqrt(kernel_size).

    The identity is tap 0 plus one, so that one filter holds both.
    """
    taps = (2 * torch.rand(kernel_size, width) - 1) / kernel_size**0.5  # (K, C)
    taps[0] += 1
    return FIR(width, kernel_size, init=taps)


def add_canon(model: GPT, kernel_size: int = 4, sites: str = "ABCD") -> None:
    """Insert Canon layers.

    Args:
        model: the plain model.
        kernel_size: taps.
        sites: A and C, on what attention and the MLP read; B, on queries, keys and values; D, inside the MLP.

    Raises:
        UsageError: There is no such site.
    """
    if not sites or not set(sites) <= CANON_SITES.keys():
        raise UsageError(f"arm.canon.sites: expected some of the letters ABCD, got {sites!r}; change it")
    for site, place in CANON_SITES.items():
        if site in sites:
            insert(model, place, lambda module: canon(_width(module), kernel_size), position="after")


def _width(module: nn.Module) -> int:
    return module.out_features if isinstance(module, nn.Linear) else module.normalized_shape[0]  # type: ignore


def haar(d_model: int, levels: int = 5) -> FIR:
    """Return a fixed filter: the first half of the channels as they are, the others averaged over 2 to 2^levels bytes.

    The windows double over the channels, from the shortest to the longest.
    """
    taps = torch.zeros(2**levels, d_model)  # (K, D)
    half = d_model // 2
    taps[0, :half] = 1.0
    for channel in range(half, d_model):
        window = 2 ** (1 + (channel - half) * levels // (d_model - half))
        taps[:window, channel] = 1 / window
    return FIR(d_model, 2**levels, init=taps).requires_grad_(False)


class Comb(nn.Module):
    """Keep the taps at multiples of a distance, and hold the others at zero."""

    kept: Tensor

    def __init__(self, taps: int, distance: int) -> None:
        super().__init__()
        kept = torch.arange(taps) % distance == 0
        self.register_buffer("kept", kept[:, None].float())  # (K, 1)

    def forward(self, weight: Tensor) -> Tensor:
        """Map taps (K, D) -> (K, D)."""
        return weight * self.kept


def dilated(d_model: int, kernel_size: int, distance: int) -> FIR:
    """Return a causal filter of `kernel_size` taps, `distance` bytes apart, which begins as the identity."""
    span = (kernel_size - 1) * distance + 1
    layer = FIR(d_model, span)
    register_parametrization(layer, "weight", Comb(span, distance))
    return layer


def add_dilated(model: GPT, kernel_size: int = 3) -> None:
    """Insert dilated filters on what attention and the MLP read, twice as far apart in each block."""
    for i, block in enumerate(model.blocks):
        if isinstance(block, Block):  # not at a lower rate
            make = partial(dilated, model.config.d_model, kernel_size, 2**i)
            for place in BRANCHES:
                insert(model, place.replace("*", str(i)), partial(_made, make), position="after")


def _made(make: Callable[[], FIR], _: nn.Module) -> FIR:
    return make()
