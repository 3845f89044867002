"""Filterbanks that may be trained: every family of the library, and filters that no construction holds."""

import importlib.util
from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from dsptorch import FilterBank, Layer, Lifting, Subbands, UndecimatedBands, Wavelet, WaveletPacket
from dsptorch.functional import analysis, synthesis

HAS_PTWT = importlib.util.find_spec("ptwt") is not None
SOFT_WEIGHTS = (0.0, 1.0, 10.0)


def _network() -> nn.Module:
    return nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))


def _bank(num_bands: int, kind: str = "cosine", **arguments: Any) -> Callable[[], Layer]:
    return partial(FilterBank, 1, num_bands, kind, **arguments)


FAMILIES: dict[str, Callable[[], Layer]] = {
    "lattice, 8 taps": _bank(2, "lattice"),
    "lattice, 24 taps": _bank(2, "lattice", overlap=6),
    "lattice of db4, 8 taps": _bank(2, "db4"),
    "paraunitary, 8 bands, 32 taps": _bank(8, "paraunitary"),
    "cosine (MDCT), 32 bands, 64 taps": _bank(32, overlap=1),
    "cosine (ELT), 8 bands, 32 taps": _bank(8),
    "cosine, 4 bands, 24 taps": _bank(4, overlap=3),
    "dft, 17 bands, 32 taps": _bank(17, "dft", overlap=1),
    "Wavelet, db4, 3 levels": lambda: Wavelet(1, "db4", 3),
    "WaveletPacket, db2, 3 levels": lambda: WaveletPacket(1, "db2", 3),
    "Lifting, two networks": lambda: Lifting(_network(), _network(), d_model=1),
    "UndecimatedBands, 4 levels": lambda: UndecimatedBands(1, 4),
}
"""Every family of banks that reconstruct by construction, one channel."""


class Bank(nn.Module):
    """A bank that may be trained."""

    @abstractmethod
    def bands(self, x: Tensor) -> Tensor:
        """Return all bands of (B, T, 1), as (B, frames, bands)."""

    @abstractmethod
    def error(self, x: Tensor) -> float:
        """Return the largest error of what comes back, over the largest sample."""

    def penalty(self) -> Tensor | float:
        """Return what is added to the loss of the task."""
        return 0.0


class Ours(Bank):
    """A family.

    Args:
        name: Which one.
        dtype: Of its parameters.
    """

    def __init__(self, name: str, dtype: torch.dtype) -> None:
        super().__init__()
        self.layer = FAMILIES[name]().to(dtype)

    def bands(self, x: Tensor) -> Tensor:
        """Return all bands."""
        bands: Tensor = self.layer(x)
        return bands

    def error(self, x: Tensor) -> float:
        """Return the largest error."""
        if isinstance(self.layer, UndecimatedBands):
            return _relative(torch.stack(self.layer.split(self.layer(x))).sum(0), x, x)
        both = Subbands(self.layer)
        late = int(both.delay)
        return _relative(both(x)[:, late:], x[:, : x.shape[1] - late], x)


class FreeTaps(Bank):
    """Two filters of eight taps, each free, and the same reversed for the synthesis."""

    def __init__(self) -> None:
        super().__init__()
        self.taps = nn.Parameter(FilterBank(1, 2, "lattice").matrix().detach().clone())

    def bands(self, x: Tensor) -> Tensor:
        """Return all bands."""
        return analysis(x, self.taps, 2)

    def error(self, x: Tensor) -> float:
        """Return the largest error."""
        late = self.taps.shape[1] - 1
        y = synthesis(self.bands(x), self.taps.flip(1), 2)
        return _relative(y[:, late : x.shape[1]], x[:, :-late], x)


class Soft(Bank):
    """ptwt's learned db4, one level, with its loss for reconstruction.

    Args:
        weight: Of that loss.
    """

    def __init__(self, weight: float) -> None:
        super().__init__()
        import ptwt.wavelets_learnable  # noqa: PLC0415
        import pywt  # noqa: PLC0415

        taps = (torch.tensor(taps) for taps in pywt.Wavelet("db4").filter_bank)
        self.wavelet = ptwt.wavelets_learnable.SoftOrthogonalWavelet(*taps)
        self.weight = weight

    def bands(self, x: Tensor) -> Tensor:
        """Return both bands."""
        return torch.stack(self._analysis(x), -1)

    def error(self, x: Tensor) -> float:
        """Return the largest error inside."""
        import ptwt  # noqa: PLC0415

        y = ptwt.waverec(self._analysis(x), self.wavelet)
        inside = slice(len(self.wavelet), x.shape[1] - len(self.wavelet))
        return _relative(y[:, inside], x[:, inside, 0], x)

    def penalty(self) -> Tensor | float:
        """Return the loss for reconstruction, weighted."""
        loss: Tensor = self.weight * self.wavelet.wavelet_loss()
        return loss

    def _analysis(self, x: Tensor) -> list[Tensor]:
        import ptwt  # noqa: PLC0415

        bands: list[Tensor] = ptwt.wavedec(x[:, :, 0], self.wavelet, mode="zero", level=1)
        return bands


def _relative(found: Tensor, expected: Tensor, x: Tensor) -> float:
    return ((found - expected).abs().max() / x.abs().max()).item()


def banks() -> dict[str, Bank]:
    """Return every bank, by name: ours in both dtypes, and the controls in float32."""
    made: dict[str, Bank] = {}
    for dtype in (torch.float32, torch.float64):
        for name in FAMILIES:
            made[f"{name}, {str(dtype).removeprefix('torch.')}"] = Ours(name, dtype)
    made["every tap free"] = FreeTaps()
    if HAS_PTWT:
        made |= {f"ptwt, its loss times {weight:g}": Soft(weight) for weight in SOFT_WEIGHTS}
    return made
