"""Filters that depend on what they filter, as arms: a gate or a choice of taps, made from the sample itself.

================  ==========================================================================
smear             token shift, each group of channels shifted as far as a gate says
dynamic           for each group of channels, taps that sum to one, chosen by the sample
kv_fir            learned filters on keys and values alone
================  ==========================================================================

References:
    F. Wu et al., Pay Less Attention with Lightweight and Dynamic Convolutions, 2019.
    B. Peng et al., Eagle and Finch: RWKV with Matrix-Valued States and Dynamic Recurrence, 2024, section 4 (token
    shift whose amount depends on the token).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from dsptorch import FIR, insert

from .errors import UsageError
from .model import GPT


def token_shift(d_model: int) -> FIR:
    """Return a fixed filter: the first half of the channels as they are, the others from t - 1."""
    taps = torch.zeros(2, d_model)  # (K, D)
    taps[0, : d_model // 2] = 1.0
    taps[1, d_model // 2 :] = 1.0
    return FIR(d_model, kernel_size=2, init=taps).requires_grad_(False)


class Smear(nn.Module):
    """Mix each sample with the one before, as far as a gate says: token shift at first.

        y[t] = x[t] + 2 sigmoid(W x[t]) (s[t] - x[t]),   s the token shift of x

    Args:
        d_model: width.
        groups: gates; each acts on d_model / groups channels.

    Shape:
        (B, T, D) -> (B, T, D).
    """

    def __init__(self, d_model: int, groups: int = 16) -> None:
        super().__init__()
        self.shift, self.groups = token_shift(d_model), groups
        self.gate = nn.Linear(d_model, groups, bias=False)
        nn.init.zeros_(self.gate.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Mix."""
        gate = 2 * self.gate(x).sigmoid()[..., None]  # (B, T, G, 1)
        moved = rearrange(self.shift(x) - x, "b t (g c) -> b t g c", g=self.groups)
        mixed: Tensor = x + rearrange(gate * moved, "b t g c -> b t (g c)")
        return mixed


class Dynamic(nn.Module):
    """Filter with taps that the sample chooses: y[t] = sum_k softmax_k(W x[t] + b)[k] x[t - k], by groups of channels.

    At first group g is delayed by g mod kernel_size samples for the greater part.

    Args:
        d_model: width.
        kernel_size: taps.
        groups: of channels, which share their taps.

    Shape:
        (B, T, D) -> (B, T, D).
    """

    def __init__(self, d_model: int, kernel_size: int = 4, groups: int = 16) -> None:
        super().__init__()
        self.groups = groups
        self.delays = nn.ModuleList(_delay(d_model, k) for k in range(1, kernel_size))
        self.taps = nn.Linear(d_model, groups * kernel_size)
        nn.init.zeros_(self.taps.weight)
        first = 3.0 * torch.eye(kernel_size)[torch.arange(groups) % kernel_size]  # (G, K)
        with torch.no_grad():
            self.taps.bias.copy_(first.flatten())

    def forward(self, x: Tensor) -> Tensor:
        """Filter."""
        taps = rearrange(self.taps(x), "b t (g k) -> k b t g 1", g=self.groups).softmax(0)
        delayed = [x, *(delay(x) for delay in self.delays)]
        parts = (
            tap * rearrange(d, "b t (g c) -> b t g c", g=self.groups)
            for tap, d in zip(taps, delayed, strict=True)
        )
        return rearrange(torch.stack([*parts]).sum(0), "b t g c -> b t (g c)")


def _delay(d_model: int, samples: int) -> FIR:
    taps = torch.zeros(samples + 1, d_model)  # (K, D)
    taps[-1] = 1.0
    return FIR(d_model, kernel_size=samples + 1, init=taps).requires_grad_(False)


class HoldFirst(nn.Module):
    """Hold the taps of the first channels, those of queries, at the identity."""

    kept: Tensor
    rest: Tensor

    def __init__(self, held: int, taps: Tensor) -> None:
        super().__init__()
        kept = torch.ones_like(taps)
        kept[:, :held] = 0.0
        identity = torch.zeros_like(taps)
        identity[0] = 1.0
        self.register_buffer("kept", kept)
        self.register_buffer("rest", identity * (1 - kept))

    def forward(self, weight: Tensor) -> Tensor:
        """Map taps (K, C) -> (K, C)."""
        return weight * self.kept + self.rest


def kv_fir(width: int, kernel_size: int, init: str) -> FIR:
    """Return a filter on queries, keys and values side by side, of `width` channels, which leaves queries alone."""
    layer = FIR(width, kernel_size, init=init)
    register_parametrization(layer, "weight", HoldFirst(width // 3, layer.weight.detach()))
    return layer


def add_kv_fir(model: GPT, kernel_size: int = 4, init: str = "delays") -> None:
    """Insert filters on keys and values, where the blocks run at the full rate."""
    place = "blocks.*.attn.attn.qkv"
    insert(model, place, lambda linear: kv_fir(linear.out_features, kernel_size, init), position="after")  # type: ignore


def grouped(kind: Callable[..., nn.Module], name: str) -> Callable[..., nn.Module]:
    """Return a maker of gated filters that refuses groups which do not divide the width."""

    def make(d_model: int, groups: int = 16, **options: int) -> nn.Module:
        if d_model % groups:
            raise UsageError(
                f"arm.{name}.groups: expected a divisor of model.d_model={d_model}, got {groups}; change it"
            )
        return kind(d_model, groups=groups, **options)

    return make
