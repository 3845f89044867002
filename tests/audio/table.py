"""Every layer of dsptorch.audio, small, by name: builders, and frames a second that are quick to compute."""

from collections.abc import Callable

import torch

from dsptorch import Chain, Layer
from dsptorch.audio import (
    PCEN,
    STFT,
    BandEnergy,
    GaborBank,
    GaborFilters,
    Gammatone,
    GammatoneBank,
    GammatoneFilters,
    LogCompression,
    MelSpectrogram,
    Resample,
    SincBank,
    SincFilters,
)

RATE = 800
SMALL = {"win_length": 16, "hop_length": 8, "filter_length": 33, "f_min": 20.0}

FRONTS: dict[str, Callable[[], Layer]] = {
    "STFT": lambda: STFT(16, hop_length=4),
    "STFT magnitudes": lambda: STFT(16, 12, 5, power=1.0, window="hamming"),
    "STFT energies": lambda: STFT(15, hop_length=20, power=2.0, window=("kaiser", 6.0)),
    "MelSpectrogram": lambda: MelSpectrogram(RATE, 64, 20, 8, n_mels=6),
    "MelSpectrogram slaney": lambda: MelSpectrogram(
        RATE, 64, hop_length=7, n_mels=5, norm="slaney", mel_scale="slaney", power=1.0
    ),
    "GaborBank": lambda: GaborBank(3, RATE, **SMALL),
    "SincBank": lambda: SincBank(3, RATE, **SMALL),
    "Gammatone": lambda: Gammatone(3, RATE, hop_length=8, pool_length=12, stride=2, f_min=40.0),
    "GammatoneBank": lambda: GammatoneBank(3, RATE, 16, 8, f_min=40.0),
    "LEAF": lambda: Chain(GaborFilters(3, RATE, 33, 2, f_min=20.0), BandEnergy(3, 4), PCEN(3, eps=1e-3)),
    "GaborFilters": lambda: GaborFilters(3, RATE, 33, 4, f_min=20.0),
    "SincFilters": lambda: SincFilters(3, RATE, 32, f_min=20.0),
    "GammatoneFilters": lambda: GammatoneFilters(3, RATE, f_min=40.0),
    "GammatoneFilters at 1/5": lambda: GammatoneFilters(2, RATE, 5, f_min=40.0),
    "Resample down": lambda: Resample(3, 2),
    "Resample up": lambda: Resample(2, 3, 4, 0.9),
    "mel and PCEN": lambda: Chain(MelSpectrogram(RATE, 64, 20, 8, n_mels=6, power=1.0), PCEN(6, eps=1e-3)),
    "mel and logarithm": lambda: Chain(
        MelSpectrogram(RATE, 64, 20, 8, n_mels=6, power=1.0), LogCompression(6)
    ),
    "Gabor and PCEN": lambda: Chain(GaborBank(3, RATE, **SMALL), PCEN(3, eps=1e-3)),
    "resampled Gabor": lambda: Chain(Resample(3, 2), GaborBank(3, RATE, **SMALL)),
}
"""Layers on waveforms."""

OTHERS: dict[str, Callable[[], Layer]] = {
    "PCEN": lambda: PCEN(3),
    "PCEN fixed": lambda: PCEN(2, 0.9, 1.0, 0.3, 4.0),
    "LogCompression": lambda: LogCompression(3, 1e-3),
    "BandEnergy": lambda: BandEnergy(2, 3),
    "BandEnergy fixed": lambda: BandEnergy(2, 2, 1, width=0.3),
}
"""Layers on features."""

EVERY = FRONTS | OTHERS


def waveform(
    batch: int = 2, time: int = 300, dtype: torch.dtype = torch.float64, seed: int = 0
) -> torch.Tensor:
    """Noise that fades in and out, within full scale."""
    generator = torch.Generator().manual_seed(seed)
    loud = torch.sin(torch.linspace(0, 9, time, dtype=torch.float64)).abs().reshape(1, time, 1)
    noise = torch.rand(batch, time, 1, dtype=torch.float64, generator=generator) * 2 - 1
    return (loud * noise).to(dtype)
