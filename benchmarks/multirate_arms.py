"""The multirate block, written four ways that share one set of weights, and a copy of the tensor."""

import copy
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch._dynamo import nonstrict_trace

from dsptorch import Multirate
from dsptorch.functional import multirate


class Copy(nn.Module):
    """A copy of the input: what moving the tensor costs."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, D) -> (B, T, D)."""
        return x.clone()


class Arm(nn.Module):
    """A block with the weights of a layer of one level, in a layout of its own."""

    def __init__(self, layer: Multirate) -> None:
        super().__init__()
        if layer.levels != 1:
            raise ValueError(f"the study's block has one level, got {layer.levels}")
        if not isinstance(layer.downsample, int):
            raise TypeError(f"the study's block has a fixed factor, got {layer.downsample}")
        self.downsample = layer.downsample
        self.mix_ratio: Any = copy.deepcopy(layer.mix_ratio)
        self.detail_strength: Any = copy.deepcopy(layer.detail_strength)
        self.low, self.recon, self.detail = (
            nn.Parameter(self.from_layer(taps.detach()).clone())
            for taps in (layer.low, layer.recon, layer.detail)
        )

    def from_layer(self, taps: Tensor) -> Tensor:
        """Map the layer's taps, (1, K, D), to this arm's layout."""
        return taps

    def to_layer(self, weight: Tensor) -> Tensor:
        """Map back."""
        return weight


class Literal(Arm):
    """The study's equations as they stand: depthwise convolutions of the transposed signal, padded on the left."""

    def from_layer(self, taps: Tensor) -> Tensor:
        """(1, K, D) -> (D, 1, K), the last tap first: conv1d correlates."""
        return taps[0].flip(0).T.unsqueeze(1)

    def to_layer(self, weight: Tensor) -> Tensor:
        """(D, 1, K) -> (1, K, D)."""
        return weight.squeeze(1).T.flip(0).unsqueeze(0)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, D) -> (B, T, D)."""
        signal = x.transpose(1, 2)  # (B, D, T)
        low = self._conv(signal, self.low, self.downsample)  # (B, D, ceil(T / s))
        held = low.repeat_interleave(self.downsample, -1)[..., : signal.shape[-1]]  # (B, D, T)
        coarse = self._conv(held, self.recon)
        detail = self._conv(signal - coarse, self.detail)
        processed = coarse + self.detail_strength() * detail
        mix = self.mix_ratio()
        y: Tensor = mix * x + (1 - mix) * processed.transpose(1, 2)
        return y

    def _conv(self, signal: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
        padded = F.pad(signal, (weight.shape[-1] - 1, 0))
        return F.conv1d(padded, weight, stride=stride, groups=weight.shape[0])


class ShiftAndAdd(Arm):
    """The same filters one after the other, channels last, each a sum of shifted products; nothing is folded."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, D) -> (B, T, D)."""
        low = self._filter(
            x, self.low[0], self.downsample
        )  # (B, ceil(T / s), D): what is dropped is not computed
        held = low.repeat_interleave(self.downsample, 1)[:, : x.shape[1]]  # (B, T, D)
        coarse = self._filter(held, self.recon[0])
        detail = self._filter(x - coarse, self.detail[0])
        mix = self.mix_ratio()
        y: Tensor = mix * x + (1 - mix) * (coarse + self.detail_strength() * detail)
        return y

    def _filter(self, x: Tensor, taps: Tensor, stride: int = 1) -> Tensor:
        memory, time = taps.shape[0] - 1, x.shape[1]
        padded = F.pad(x, (0, 0, memory, 0))
        y = padded[:, memory : memory + time : stride] * taps[0]
        for k in range(1, memory + 1):
            y = y + padded[:, memory - k : memory - k + time : stride] * taps[k]
        return y


class Unfolded(Arm):
    """The layer's own expression, told to run as a cascade."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, D) -> (B, T, D)."""
        taps, knobs = (self.low, self.recon, self.detail), (self.mix_ratio(), self.detail_strength())
        return _unfolded(x, taps, knobs, self.downsample)[0]


@nonstrict_trace
def _unfolded(
    x: Tensor, taps: tuple[Tensor, ...], knobs: tuple[Tensor, Tensor], downsample: int
) -> tuple[Tensor]:
    low, recon, detail = taps
    block = multirate(low, recon, detail, downsample=downsample, mix_ratio=knobs[0], detail_strength=knobs[1])
    return (block(x, fold=False),)


def gradients(arm: nn.Module, x: Tensor, v: Tensor) -> dict[str, Tensor]:
    """Return the output and the gradients of sum(v * output), by name, in the layer's layout."""
    x = x.detach().requires_grad_()
    arm.zero_grad()
    y = arm(x)
    y.backward(v)
    inner: nn.Module = getattr(arm, "_orig_mod", arm)  # torch.compile wraps the module
    found = {"output": y.detach(), "x": x.grad}
    for name, weight in inner.named_parameters():
        grad = weight.grad
        if isinstance(inner, Arm) and grad is not None and "." not in name:
            grad = inner.to_layer(grad)
        found[name] = grad
    return {name: tensor for name, tensor in found.items() if tensor is not None}
