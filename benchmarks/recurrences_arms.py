"""An exponential moving average and a cascade of sections, each in several ways that share one set of parameters."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import scipy.signal
import torch
from torch import Tensor, nn

from dsptorch import EMA, SOS, BoundedHyperparam

try:
    from torchaudio.functional import lfilter as torchaudio_lfilter

    _probe = torch.ones(1, 3, requires_grad=True)
    torchaudio_lfilter(_probe, torch.tensor([1.0, -0.5]), torch.tensor([1.0, 0.0])).sum().backward()
except (ImportError, OSError, RuntimeError) as error:  # not there, or not whole
    torchaudio_lfilter, TORCHAUDIO = None, f"left out: {type(error).__name__}"
else:
    TORCHAUDIO = "imports"

__all__ = ["TORCHAUDIO", "ema_arms", "reference", "sos_arms"]


class _Average(nn.Module):
    """An EMA with the half-lives of a layer: y[t] = a y[t-1] + (1 - a) x[t]."""

    def __init__(self, layer: EMA) -> None:
        super().__init__()
        self.half_life: Any = copy.deepcopy(layer.half_life)

    def decay(self) -> Tensor:
        """The pole of each channel."""
        a: Tensor = torch.exp2(-1 / self.half_life())
        return a


class LoopedAverage(_Average):
    """A loop in Python."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, D) -> (B, T, D)."""
        a = self.decay()
        y, state = [], torch.zeros_like(x[:, 0])
        for now in ((1 - a) * x).unbind(1):
            state = torch.addcmul(now, a, state)
            y.append(state)
        return torch.stack(y, 1)


class ScannedAverage(_Average):
    """PyTorch's generic `associative_scan`: pairs (a, b) for the maps y -> a y + b."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, D) -> (B, T, D)."""
        from torch._higher_order_ops.associative_scan import associative_scan  # noqa: PLC0415, brings Dynamo

        def joined(first: tuple[Tensor, Tensor], then: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            return first[0] * then[0], torch.addcmul(then[1], then[0], first[1])

        a = self.decay()
        pairs = (a.expand(x.shape).contiguous(), (1 - a) * x)
        y: Tensor = associative_scan(joined, pairs, dim=1, combine_mode="generic")[1]
        return y


class ScipyAverage(_Average):
    """`scipy.signal.lfilter`, called for one channel after the other. It has no gradients."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, D) -> (B, T, D)."""
        a, signal = self.decay().detach().numpy(), x.detach().numpy()
        y = np.empty_like(signal)
        for c, pole in enumerate(a):
            one = np.ones(1, signal.dtype)
            y[..., c] = scipy.signal.lfilter((1 - pole) * one, np.append(one, -pole), signal[..., c], axis=1)
        return torch.from_numpy(y)


class TorchaudioAverage(_Average):
    """`torchaudio.functional.lfilter`, all channels in one call; it wants time last."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, D) -> (B, T, D)."""
        a = self.decay()
        numerator = torch.stack([1 - a, torch.zeros_like(a)], 1)
        denominator = torch.stack([torch.ones_like(a), -a], 1)
        y: Tensor = torchaudio_lfilter(x.transpose(1, 2), denominator, numerator, clamp=False)
        return y.transpose(1, 2)


class _Sections(nn.Module):
    """A cascade of the sections of a layer."""

    def __init__(self, layer: SOS) -> None:
        super().__init__()
        self.sections: Any = copy.deepcopy(layer.sections)


class LoopedSections(_Sections):
    """A loop in Python, in transposed direct form II."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, D) -> (B, T, D)."""
        for b0, b1, b2, _, a1, a2 in map(torch.unbind, self.sections.sos().unbind()):
            s1 = s2 = torch.zeros_like(x[:, 0])
            outputs = []
            for now in x.unbind(1):
                y = b0 * now + s1
                s1, s2 = s2 + b1 * now - a1 * y, b2 * now - a2 * y
                outputs.append(y)
            x = torch.stack(outputs, 1)
        return x


class ScipySections(_Sections):
    """`scipy.signal.sosfilt`, called for one channel after the other. It has no gradients."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, D) -> (B, T, D)."""
        sos, signal = self.sections.sos().detach().numpy(), x.detach().numpy()
        y = np.empty_like(signal)
        for c in range(x.shape[2]):
            y[..., c] = scipy.signal.sosfilt(np.ascontiguousarray(sos[..., c]), signal[..., c], axis=1)
        return torch.from_numpy(y)


class TorchaudioSections(_Sections):
    """`torchaudio.functional.lfilter`, a section at a time."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, D) -> (B, T, D)."""
        y = x.transpose(1, 2)
        for section in self.sections.sos().unbind():
            y = torchaudio_lfilter(y, section[3:].T, section[:3].T, clamp=False)
        return y.transpose(1, 2)


def ema_arms(d_model: int) -> dict[str, nn.Module]:
    """The arms of the average, with half-lives from 1 to 64 samples; the loop first."""
    spread = 64 ** torch.linspace(0.01, 0.99, d_model)
    layer = EMA(d_model, BoundedHyperparam(spread, 1.0, 64.0, log=True))
    return _arms(layer, LoopedAverage, ScannedAverage, ScipyAverage, TorchaudioAverage)


def sos_arms(d_model: int) -> dict[str, nn.Module]:
    """The arms of the cascade, a Butterworth low-pass of order 4; the loop first."""
    layer = SOS(d_model, scipy.signal.butter(4, 0.25, output="sos"))
    return _arms(layer, LoopedSections, None, ScipySections, TorchaudioSections)


def _arms(
    layer: Any,
    loop: Callable[[Any], nn.Module],
    scan: Callable[[Any], nn.Module] | None,
    scipys: Callable[[Any], nn.Module],
    torchaudios: Callable[[Any], nn.Module],
) -> dict[str, nn.Module]:
    arms = {"Python loop": loop(layer), "scipy": scipys(layer)}
    if scan is not None:
        arms["associative_scan"] = scan(layer)
    if torchaudio_lfilter is not None:
        arms["torchaudio"] = torchaudios(layer)
    return arms | {"ours": layer}


def reference(arms: Mapping[str, nn.Module]) -> nn.Module:
    """The loop in float64."""
    return copy.deepcopy(arms["Python loop"]).double()
