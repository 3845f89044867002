"""Time the multirate block against the seed's literal block, an unfolded cascade, and a copy of the tensor.

    python benchmarks/multirate.py

All arms have the same weights and hyperparameters. Before anything is timed, their outputs, and their gradients
of the input and of every weight, are compared with those of the literal block in float64; if one differs, nothing
is timed. "forward" runs without gradients; "forward + backward" gives those of the input and of every weight.
"""

import argparse
import copy
import sys
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from harness import MiB, Timing, add_options, facts, peak_memory, print_facts, round_robin, save, table
from torch import Tensor, nn
from torch._dynamo import nonstrict_trace

from dsptorch import Multirate
from dsptorch.functional import multirate

# Largest difference from the reference, relative to its largest entry, of float32 sums over batch and time.
TOLERANCE = {"output": 2e-6, "gradient": 2e-5}
COPY, LITERAL, LITERAL_C, CASCADE_C = "copy", "literal", "literal, compiled", "shift-and-add, compiled"
OURS, OURS_C, FORCED_C = "ours", "ours, compiled", "ours unfolded, compiled"


class Copy(nn.Module):
    """A copy of the input: what moving the tensor costs."""

    def forward(self, x: Tensor) -> Tensor:
        return x.clone()


class Arm(nn.Module):
    """Weights in the library's layout, copied from a layer."""

    def __init__(self, layer: Multirate) -> None:
        super().__init__()
        if layer.levels != 1:
            raise ValueError(f"the seed's block has one level, got {layer.levels}")
        self.downsample = layer.downsample
        self.mix_ratio, self.detail_strength = map(copy.deepcopy, (layer.mix_ratio, layer.detail_strength))
        for name in ("low", "recon", "detail"):
            setattr(self, name, nn.Parameter(self.from_layer(getattr(layer, name).detach()).clone()))

    def from_layer(self, taps: Tensor) -> Tensor:
        """Map taps (1, K, D) to this arm's layout."""
        return taps

    def to_layer(self, weight: Tensor) -> Tensor:
        """Map back."""
        return weight

    def blended(self, x: Tensor, coarse: Tensor, detail: Tensor) -> Tensor:
        """Mix the bands, and them with the input."""
        mix = self.mix_ratio()
        return mix * x + (1 - mix) * (coarse + self.detail_strength() * detail)


class Literal(Arm):
    """The seed's equations as they stand: convolutions on the transposed signal, padded on the left."""

    def from_layer(self, taps: Tensor) -> Tensor:
        return taps[0].flip(0).T.unsqueeze(1).contiguous()  # (1, K, D) -> (D, 1, K), reversed: conv1d correlates

    def to_layer(self, weight: Tensor) -> Tensor:
        return weight.squeeze(1).T.flip(0).unsqueeze(0)

    def forward(self, x: Tensor) -> Tensor:
        signal = x.transpose(1, 2)  # (B, D, T)
        low = self._conv(signal, self.low, self.downsample)  # (B, D, ceil(T / s))
        held = low.repeat_interleave(self.downsample, -1)[..., : signal.shape[-1]]
        coarse = self._conv(held, self.recon)
        detail = self._conv(signal - coarse, self.detail)
        mix = self.mix_ratio()
        processed = coarse + self.detail_strength() * detail
        return mix * x + (1 - mix) * processed.transpose(1, 2)

    def _conv(self, signal: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
        padded = F.pad(signal, (weight.shape[-1] - 1, 0))
        return F.conv1d(padded, weight, stride=stride, groups=weight.shape[0])


class ShiftAndAdd(Arm):
    """The same filters one after the other, channels last, each as a sum of shifted products: nothing is folded."""

    def forward(self, x: Tensor) -> Tensor:
        low = self._filter(x, self.low[0], self.downsample)  # (B, ceil(T / s), D): only what is kept is computed
        held = low.repeat_interleave(self.downsample, 1)[:, : x.shape[1]]
        coarse = self._filter(held, self.recon[0])
        detail = self._filter(x - coarse, self.detail[0])
        mix = self.mix_ratio()
        return mix * x + (1 - mix) * (coarse + self.detail_strength() * detail)

    def _filter(self, x: Tensor, taps: Tensor, stride: int = 1) -> Tensor:
        memory, time = taps.shape[0] - 1, x.shape[1]
        padded = F.pad(x, (0, 0, memory, 0))
        y = padded[:, memory : memory + time : stride] * taps[0]
        for k in range(1, memory + 1):
            y = y + padded[:, memory - k : memory - k + time : stride] * taps[k]
        return y
