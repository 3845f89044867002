"""What the layers of dsptorch.audio refuse, and what they say."""

import pytest
import torch

from dsptorch import BoundedHyperparam, Chain
from dsptorch.audio import (
    PCEN,
    STFT,
    BandEnergy,
    GaborBank,
    GaborFilters,
    Gammatone,
    MelSpectrogram,
    Resample,
    SincBank,
)

MEL = MelSpectrogram(16000)
WAVES = "expects waveforms \\(batch, time, 1\\), got shape"


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (
            lambda: MEL(torch.zeros(2, 1600)),
            ValueError,
            rf"{WAVES} \(2, 1600\); \(batch, time\) is x.unsqueeze\(-1\)",
        ),
        (
            lambda: Chain(MEL, PCEN(64))(torch.zeros(2, 1600)),
            ValueError,
            r"of one channel is x.unsqueeze\(-1\)",
        ),
        (lambda: MEL(torch.zeros(1600)), ValueError, r"one waveform is x\[None, :, None\]"),
        (
            lambda: MEL(torch.zeros(2, 1, 1600)),
            ValueError,
            r"\(batch, channels, time\) is x.transpose\(1, 2\)",
        ),
        (lambda: MEL(torch.zeros(2, 2, 1600)), ValueError, r"x.mean\(1\).unsqueeze\(-1\)"),
        (
            lambda: MEL(torch.zeros(2, 1600, 2)),
            ValueError,
            r"several channels become one by x.mean\(-1, keepdim=True\)",
        ),
        (lambda: MEL(torch.zeros(2, 9, 1).short()), TypeError, r"got torch.int16; 16-bit PCM .* x / 32768"),
        (lambda: MEL([0.0]), TypeError, r"expects a tensor \(batch, time, 1\)"),
        (lambda: Resample(2, 1)(torch.zeros(2, 9)), ValueError, "Resample expects waveforms"),
        (lambda: MelSpectrogram(0), ValueError, "sample_rate must be at least 1, got 0"),
        (lambda: MelSpectrogram(16000.0), TypeError, "sample_rate must be an int"),
        (
            lambda: MelSpectrogram(f_max=9000),
            ValueError,
            "f_max must be at most 8000 Hz, half of the sample rate",
        ),
        (lambda: MelSpectrogram(f_min=500, f_max=400), ValueError, r"f_min must be in \[0, f_max\) Hz"),
        (lambda: MelSpectrogram(f_min=-1), ValueError, "f_min must be in"),
        (
            lambda: MelSpectrogram(n_fft=400, n_mels=128),
            ValueError,
            "n_mels=128 is too many for 201 frequencies",
        ),
        (lambda: MelSpectrogram(mel_scale="bark"), ValueError, "'htk' or 'slaney', got 'bark'"),
        (lambda: MelSpectrogram(norm="l2"), ValueError, "norm must be 'slaney' or None"),
        (lambda: MelSpectrogram(power=3.0), ValueError, "power must be 1.0 or 2.0"),
        (lambda: STFT(16, 17), ValueError, "win_length must be at most n_fft=16, got 17"),
        (lambda: STFT(16, hop_length=0), ValueError, "hop_length must be at least 1"),
        (lambda: STFT(16, window="hanning"), ValueError, "window must be one of"),
        (lambda: STFT(16, power=0.5), ValueError, "power must be 1.0, 2.0 or None"),
        (lambda: Gammatone(stride=7), ValueError, "stride must divide hop_length=160, got 7"),
        (lambda: GaborBank(f_min=0.0), ValueError, r"f_min must be in \[1, f_max\)"),
        (lambda: GaborFilters(4, 16000, 2), ValueError, "filter_length must be longer than 2 samples"),
        (lambda: SincBank(f_min=100.0, f_max=110.0), ValueError, r"f_max must be over f_min \+ 20 Hz"),
        (lambda: Gammatone(f_max=8001.0), ValueError, "f_max must be at most 8000 Hz"),
        (lambda: BandEnergy(2, 0), ValueError, "factor must be at least 1"),
        (lambda: BandEnergy(2, 2, width=0.6), ValueError, r"width must be a finite number in \[0.05, 0.5\]"),
        (lambda: PCEN(2, gain=1.5), ValueError, r"gain must be a finite number in \[0, 1\]"),
        (lambda: PCEN(2, eps=0.0), ValueError, "eps must be a finite number"),
        (lambda: PCEN(2, eps=BoundedHyperparam(0.1, 0.01, 0.2)), TypeError, "eps must be a number"),
        (lambda: PCEN(2, half_life=0.0), ValueError, "half_life must be a finite number"),
        (lambda: Resample(0, 1), ValueError, "orig_freq must be at least 1"),
        (lambda: Resample(96001, 16001), ValueError, "ratio of smaller numbers, or two stages"),
        (lambda: Resample(2, 1, rolloff=0.0), ValueError, r"rolloff must be a number in \(0, 1\]"),
    ],
)
def test_refuses(make, error, says):
    with pytest.raises(error, match=says):
        make()
