"""Front ends for audio: from waveforms to features, as causal layers that stream.

Waveforms are (batch, time, 1), and frequencies are in Hz. Time is in samples, as in the whole library.
"""

from dsptorch.audio.compression import PCEN, LogCompression
from dsptorch.audio.energy import BandEnergy
from dsptorch.audio.files import read_waveform
from dsptorch.audio.gabor import GaborBank, GaborFilters
from dsptorch.audio.gammatone import Gammatone, GammatoneBank, GammatoneFilters
from dsptorch.audio.mel import MelSpectrogram
from dsptorch.audio.resample import Resample
from dsptorch.audio.scales import erb, from_erb_rate, hz_to_mel, mel_filters, mel_to_hz, to_erb_rate
from dsptorch.audio.sinc import SincBank, SincFilters
from dsptorch.audio.stft import STFT

__all__ = [
    "PCEN",
    "STFT",
    "BandEnergy",
    "GaborBank",
    "GaborFilters",
    "Gammatone",
    "GammatoneBank",
    "GammatoneFilters",
    "LogCompression",
    "MelSpectrogram",
    "Resample",
    "SincBank",
    "SincFilters",
    "erb",
    "from_erb_rate",
    "hz_to_mel",
    "mel_filters",
    "mel_to_hz",
    "read_waveform",
    "to_erb_rate",
]
