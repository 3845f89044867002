"""torchaudio as an oracle: see tests/install_torchaudio.sh."""

import pytest
import torch
import torch.nn.functional as F

from dsptorch import EMA
from dsptorch.audio import MelSpectrogram, Resample, mel_filters
from tests.audio.table import waveform

try:
    from torchaudio import functional, transforms
except (ImportError, OSError) as error:  # not there, or linked against a CUDA that is not
    pytest.skip(f"torchaudio: {error}; run tests/install_torchaudio.sh", allow_module_level=True)

MELS = [
    {"n_fft": 512, "win_length": 400, "hop_length": 160, "n_mels": 64},
    {"n_fft": 400, "hop_length": 100, "n_mels": 40, "mel_scale": "slaney", "norm": "slaney"},
    {"n_fft": 1024, "hop_length": 256, "n_mels": 80, "f_min": 20.0, "f_max": 7600.0, "power": 1.0},
]


@pytest.mark.parametrize("options", MELS, ids=["htk", "slaney", "magnitudes"])
def test_mel_is_its_transform_for_the_frames_that_both_have(options):
    x = waveform(2, 4000, torch.float32)
    n_fft, hop = options["n_fft"], options["hop_length"]
    win = options.get("win_length", n_fft)
    ours = MelSpectrogram(16000, **options)
    theirs = transforms.MelSpectrogram(16000, center=False, **options)
    # Its window ends `after` samples before its frame does, and its first frame ends at sample n_fft - 1.
    after = n_fft - win - (n_fft - win) // 2
    expected = theirs(F.pad(x[..., 0], (0, after))).transpose(1, 2)
    last = n_fft - 1 - after  # where the window of its first frame ends
    y = ours(F.pad(x, (0, 0, -last % hop, 0)))[:, -(-last // hop) :]
    both = min(y.shape[1], expected.shape[1])
    assert both >= 11
    assert (y[:, :both] - expected[:, :both]).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("mel_scale", ["htk", "slaney"])
@pytest.mark.parametrize("norm", [None, "slaney"])
def test_triangles_are_its_melscale_fbanks(mel_scale, norm):
    expected = functional.melscale_fbanks(513, 20.0, 7600.0, 60, 16000, norm, mel_scale)
    ours = mel_filters(513, 20.0, 7600.0, 60, 16000, norm=norm, mel_scale=mel_scale)
    assert (ours - expected).abs().max() < 1e-5


def test_another_scale_is_caught():
    expected = functional.melscale_fbanks(513, 20.0, 7600.0, 60, 16000, None, "htk")
    assert (mel_filters(513, 20.0, 7600.0, 60, 16000, mel_scale="slaney") - expected).abs().max() > 0.1


@pytest.mark.parametrize(("orig", "new"), [(44100, 16000), (16000, 44100), (48000, 8000), (3, 2)])
def test_resampling_is_its_resample_some_outputs_later(orig, new):
    x = waveform(2, 1500)
    layer = Resample(orig, new, dtype=x.dtype)
    expected = functional.resample(x[..., 0], orig, new)
    late = int(layer.delay * layer.rate)
    y = layer(F.pad(x, (0, 0, 0, int(layer.delay) + orig)))[:, late : late + expected.shape[1], 0]
    assert (y - expected).abs().max() < 1e-6


def test_an_average_is_its_lfilter():
    x, a = waveform(1, 200), 2 ** (-1 / 5)
    expected = functional.lfilter(
        x[..., 0],
        torch.tensor([1.0, -a], dtype=x.dtype),
        torch.tensor([1 - a, 0.0], dtype=x.dtype),
        clamp=False,
    )
    assert (EMA(1, 5.0).double()(x)[..., 0] - expected).abs().max() < 1e-12
