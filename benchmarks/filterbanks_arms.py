"""One bank of filters, applied in every way there is, and a copy of the signal."""

import importlib.util
from abc import abstractmethod

import scipy.signal
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsptorch import FilterBank
from dsptorch.functional import analysis

HAS_PTWT = importlib.util.find_spec("ptwt") is not None
HAS_PYWT = importlib.util.find_spec("pywt") is not None


class Arm(nn.Module):
    """v_k[n] = sum_m h_k[m] x[M n + p - m], p the phase, by taps h that learn.

    Args:
        taps: h, (bands, numtaps).
        stride: M.
    """

    phase = 0
    differentiable = True

    def __init__(self, taps: Tensor, stride: int) -> None:
        super().__init__()
        self.taps, self.stride = nn.Parameter(taps.clone()), stride

    @abstractmethod
    def forward(self, x: Tensor) -> list[Tensor]:
        """Map (B, T, D) -> frames of all bands together, (B, frames, bands * D), or of each, (B, frames, D)."""


class Ours(Arm):
    """The kernel."""

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map (B, T, D) -> (B, frames, bands * D)."""
        return [analysis(x, self.taps, self.stride)]


class Unfold(Arm):
    """Windows of the signal, multiplied by the filters."""

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map (B, T, D) -> (B, frames, bands * D)."""
        windows = F.pad(x, (0, 0, self.taps.shape[1] - 1, 0)).unfold(1, self.taps.shape[1], self.stride)
        return [(windows @ self.taps.flip(1).T).transpose(2, 3).flatten(2)]


class Conv(Arm):
    """A strided convolution of every channel."""

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map (B, T, D) -> (B, frames, bands * D)."""
        batch, _, channels = x.shape
        rows = F.pad(x.transpose(1, 2), (self.taps.shape[1] - 1, 0)).reshape(batch * channels, 1, -1)
        y = F.conv1d(rows, self.taps.flip(1).unsqueeze(1), stride=self.stride)
        return [y.view(batch, channels, len(self.taps), -1).permute(0, 3, 2, 1).flatten(2)]


class Ptwt(Arm):
    """One level of ptwt's `wavedec`, whose coefficient n stands at sample 2 n + 1."""

    phase = 1

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map (B, T, D) -> two of (B, frames, D)."""
        import ptwt  # noqa: PLC0415

        low, high = self.taps.unbind()
        wavelet = ptwt.WaveletTensorTuple(low, high, low.flip(0), high.flip(0))
        bands: list[Tensor] = ptwt.wavedec(x, wavelet, mode="zero", level=1, axis=1)
        return bands


class Loop(Arm):
    """A loop over the frames in Python."""

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map (B, T, D) -> (B, frames, bands * D)."""
        reversed_taps = self.taps.flip(1)
        numtaps = self.taps.shape[1]
        padded = F.pad(x, (0, 0, numtaps - 1, 0))
        frames = [reversed_taps @ padded[:, t : t + numtaps] for t in range(0, x.shape[1], self.stride)]
        return [torch.stack(frames, 1).flatten(2)]


class Scipy(Arm):
    """scipy's `upfirdn` for each band, which has no gradient."""

    differentiable = False

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map (B, T, D) -> (B, frames, D) for each band."""
        signal, frames = x.detach().numpy(), -(-x.shape[1] // self.stride)
        bands = [scipy.signal.upfirdn(h, signal, 1, self.stride, axis=1) for h in self.taps.detach().numpy()]
        return [torch.from_numpy(band[:, :frames]) for band in bands]


class Pywt(Arm):
    """PyWavelets' `dwt`, which has no gradient; its coefficient n stands at sample 2 n + 1."""

    phase, differentiable = 1, False

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map (B, T, D) -> two of (B, frames, D)."""
        import pywt  # noqa: PLC0415

        low, high = self.taps.tolist()
        wavelet = pywt.Wavelet("bank", filter_bank=(low, high, low[::-1], high[::-1]))
        bands = pywt.dwt(x.detach().numpy(), wavelet, mode="zero", axis=1)
        return [torch.from_numpy(band) for band in bands]


class LayerArm(nn.Module):
    """The layer, which makes its taps anew in every call.

    Args:
        bank: The layer.
    """

    phase = 0
    differentiable = True

    def __init__(self, bank: FilterBank) -> None:
        super().__init__()
        self.bank = bank

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map (B, T, D) -> (B, frames, bands * D)."""
        return [self.bank(x)]


class Copy(nn.Module):
    """What moving the signal costs."""

    differentiable = True

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map (B, T, D) -> (B, T, D)."""
        return [x.clone()]


def by_definition(x: Tensor, taps: Tensor, stride: int, phase: int) -> Tensor:
    """v_k[n] = sum_m h_k[m] x[M n + p - m]: (B, T, D), (bands, numtaps) -> (B, bands, frames, D)."""
    batch, _, channels = x.shape
    padded = F.pad(x.transpose(1, 2), (taps.shape[1] - 1 - phase, 0)).flatten(0, 1).unsqueeze(1)
    y: Tensor = F.conv1d(padded, taps.flip(1).unsqueeze(1), stride=stride)
    return y.view(batch, channels, len(taps), -1).permute(0, 2, 3, 1)


def side_by_side(outputs: list[Tensor], bands: int, frames: int) -> Tensor:
    """The outputs of an arm as (B, bands, frames, D), without frames after the end of the signal."""
    if len(outputs) == 1:
        return outputs[0].view(*outputs[0].shape[:2], bands, -1).transpose(1, 2)[:, :, :frames]
    return torch.stack(outputs, 1)[:, :, :frames]


def cotangents(v: Tensor, outputs: list[Tensor]) -> list[Tensor]:
    """Gradients (B, bands, frames, D) in the layout of an arm's outputs, 0 after the end of the signal."""
    parts = [v.transpose(1, 2).flatten(2)] if len(outputs) == 1 else list(v.unbind(1))
    return [
        F.pad(part, (0, 0, 0, y.shape[1] - part.shape[1])) for part, y in zip(parts, outputs, strict=True)
    ]
