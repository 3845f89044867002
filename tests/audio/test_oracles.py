"""The numbers of the front ends, against literal loops, torch.stft, scipy and closed forms."""

import math

import numpy as np
import pytest
import scipy.signal as ss
import torch
import torch.nn.functional as F

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
    hz_to_mel,
    mel_filters,
    mel_to_hz,
)
from tests.audio.table import waveform
from tests.tolerances import assert_close


@pytest.mark.parametrize(("n_fft", "win", "hop"), [(64, None, 16), (48, 31, 10), (15, 15, 20)])
@pytest.mark.parametrize("window", ["hann", "hamming"])
def test_stft_is_torch_stft_of_the_frames_that_end_there(n_fft, win, hop, window):
    x = waveform(time=200)
    layer = STFT(n_fft, win, hop, window=window, dtype=x.dtype)
    taps = {"hann": torch.hann_window, "hamming": torch.hamming_window}[window](win or n_fft, dtype=x.dtype)
    expected = torch.stft(
        F.pad(x[..., 0], (n_fft - 1, 0)), n_fft, hop, win, taps, center=False, return_complex=True
    ).transpose(1, 2)
    assert_close(layer.to_complex(layer(x)), expected)
    for power in (1.0, 2.0):
        layer = STFT(n_fft, win, hop, window=window, power=power, dtype=x.dtype)
        assert_close(layer(x), expected.abs() ** power)


def test_the_gradient_of_a_magnitude_of_0_is_0():
    x = torch.zeros(1, 40, 1, requires_grad=True)
    STFT(16, hop_length=4, power=1.0)(x).sum().backward()
    assert (x.grad == 0).all()


@pytest.mark.parametrize("mel_scale", ["htk", "slaney"])
def test_mel_scales_are_inverted(mel_scale):
    hz = torch.linspace(0, 8000, 99, dtype=torch.float64)
    assert_close(mel_to_hz(hz_to_mel(hz, mel_scale), mel_scale), hz, scale=100)
    assert (hz_to_mel(hz, mel_scale).diff() > 0).all()


def test_the_mel_scales_where_they_are_known():
    hz = torch.tensor([0.0, 1000.0, 6400.0], dtype=torch.float64)
    assert_close(hz_to_mel(hz, "slaney"), torch.tensor([0.0, 15.0, 42.0], dtype=torch.float64))
    assert abs(hz_to_mel(hz[1:2], "htk").item() - 1000) < 0.02


def test_triangles_of_equal_area():
    bands = mel_filters(2049, 0.0, 8000.0, 20, 16000, norm="slaney", mel_scale="slaney")
    areas = bands.sum(0) * 8000 / 2048
    assert (areas - 1).abs().max() < 0.02
    peaks = mel_filters(2049, 0.0, 8000.0, 20, 16000)
    assert peaks.amax() <= 1
    assert (peaks[100:1600].sum(1) - 1).abs().max() < 1e-9  # neighbours add up to 1


def test_mel_is_the_spectrogram_by_the_triangles():
    x = waveform()
    mel = MelSpectrogram(800, 64, 20, 8, n_mels=6, dtype=x.dtype)
    # A spectrogram has the window in the middle of the frame: 22 samples earlier, which with 2 more are 3 frames.
    energies = STFT(64, 20, 8, power=2.0, dtype=x.dtype)(F.pad(x, (0, 0, 2, 0)))[:, 3:]
    assert_close(mel(x)[:, : energies.shape[1]], energies @ mel_filters(33, 0.0, 400.0, 6, 800))


def gammatone_loop(x, p):
    y = x.astype(complex)
    for _ in range(4):
        y = ss.lfilter([1 - abs(p)], [1, -p], y)
    return y


@pytest.mark.parametrize("stride", [1, 2, 7])
def test_gammatone_is_four_complex_one_poles(stride):
    x, layer = waveform(1, 200), GammatoneFilters(3, 800, stride, f_min=40.0).double()
    y = torch.complex(*layer(x).detach().chunk(2, -1))[0].numpy()
    for k, freq in enumerate(layer.freq.value.double().tolist()):
        width = layer.width.value[k].double().item()
        decay = 2 * np.pi * width * 24.7 * (4.37 * freq / 1000 + 1) / 800
        expected = gammatone_loop(x[0, :, 0].numpy(), np.exp(-decay + 2j * np.pi * freq / 800))
        assert abs(y[:, k] - expected[::stride]).max() < 1e-6  # its frequencies are float32


def response(layer, freqs, rate, length=4096):
    impulse = torch.zeros(1, length, 1, dtype=torch.float64)
    impulse[0, 0] = 1
    y = torch.complex(*layer.double()(impulse).detach().chunk(2, -1))[0].numpy()
    times = np.arange(length)
    return np.stack([np.abs(np.exp(-2j * np.pi * f / rate * times) @ y) for f in freqs])


def test_gammatone_against_scipys():
    """Magnitudes about the peak; scipy's is real, and cut off after 15 ms."""
    layer = GammatoneFilters(1, 16000, f_min=999.0, f_max=1001.0)
    b, a = ss.gammatone(layer.freq.value.item(), "iir", fs=16000)
    freqs = np.linspace(700, 1300, 61)
    _, scipys = ss.freqz(b, a, freqs, fs=16000)
    ours = response(layer, freqs, 16000)[:, 0]
    assert abs(ours - abs(scipys)).max() < 0.03
    fir, _ = ss.gammatone(layer.freq.value.item(), "fir", numtaps=2000, fs=16000)
    _, scipys = ss.freqz(fir, [1], freqs, fs=16000)
    assert abs(ours / ours.max() - abs(scipys) / abs(scipys).max()).max() < 4e-4


def test_sinc_filters_are_those_of_sincnet():
    layer = SincFilters(4, 16000, 101)
    real, _ = (g.detach().double() for g in layer.filters())
    low, high = (edge.detach().double().unsqueeze(1) / 16000 for edge in layer.edges())
    n = torch.arange(-50, 51, dtype=torch.float64)
    ideal = 2 * high * torch.sinc(2 * high * n) - 2 * low * torch.sinc(2 * low * n)
    assert (
        2 * real - ideal * torch.hamming_window(101, periodic=False, dtype=torch.float64)
    ).abs().max() < 1e-5


def test_the_edges_of_sinc_stay_apart_whatever_the_parameters():
    layer = SincFilters(50, 16000, 11)
    with torch.no_grad():
        for hyperparam in (layer.low, layer.share):
            hyperparam.raw.uniform_(-50, 50)
    low, high = layer.edges()
    assert (low >= layer.f_min * (1 - 1e-6)).all()
    assert (high > low).all()
    assert (high <= layer.f_max * (1 + 1e-6)).all()


def test_a_tone_has_its_energy_in_its_band():
    bank = GaborBank(12, 8000)
    for k, freq in enumerate(bank.filters.freq.value.tolist()):
        tone = torch.sin(2 * math.pi * freq / 8000 * torch.arange(4000)).reshape(1, -1, 1)
        energies = bank(tone)[0, 30:].detach()
        assert (energies.argmax(1) == k).all()
        assert (energies[:, k] - 0.25).abs().max() < 0.05  # |z|^2 of a sine of amplitude 1


@pytest.mark.parametrize("make", [GaborBank, SincBank])
def test_energies_are_those_of_the_frames_behind_the_filters(make):
    x, bank = waveform(1, 100), make(3, 800, 24, 10, filter_length=21, f_min=20.0, dtype=torch.float64)
    filters = torch.complex(*(g.detach().double() for g in bank.filters.filters())).numpy()
    w = torch.hann_window(24, dtype=torch.float64).numpy()
    padded = np.concatenate([np.zeros(23), x[0, :, 0].numpy()])
    for n, found in enumerate(bank(x)[0].detach()):
        frame = w * padded[10 * n : 10 * n + 24]
        expected = [(abs(np.convolve(frame, g)) ** 2).sum() / (w**2).sum() for g in filters]
        assert_close(found, torch.tensor(expected), dtype=torch.float32)


def test_energies_behind_gammatone_filters_are_those_of_the_frames():
    """Each frame filtered by itself, until the filters are silent, whose end is wrapped around."""
    x, bank = waveform(1, 100), GammatoneBank(3, 800, 24, 10, f_min=40.0, dtype=torch.float64)
    w = torch.hann_window(24, dtype=torch.float64)
    padded = F.pad(x, (0, 0, 23, 0))
    filters = bank.filters.double()
    for n, found in enumerate(bank(x)[0].detach()):
        frame = F.pad(w.unsqueeze(1) * padded[:, 10 * n : 10 * n + 24], (0, 0, 0, 20 * bank.n_fft - 24))
        z = torch.complex(*filters(frame).detach().chunk(2, -1))[0].unflatten(0, (20, bank.n_fft)).sum(0)
        assert_close(found, z.abs().square().sum(0) / w.square().sum(), dtype=torch.float32)


def test_a_gammatone_bank_is_near_the_recurrence():
    x = waveform(1, 16000, torch.float32)
    frames = GammatoneBank(20, 16000, f_min=200.0)(x)[0, 20:].detach()
    recurrence = Gammatone(20, 16000, stride=1, f_min=200.0)(x)[0, 20:].detach()
    assert ((frames.mean(0) / recurrence.mean(0)).log().abs() < 0.1).all()


def test_a_bank_is_near_the_energies_over_time():
    """LEAF filters before the window; where the filters are short beside it, both are nearly the same."""
    x = waveform(1, 4000, torch.float32)
    bank = GaborBank(8, 8000, 200, 80, filter_length=81, f_min=300.0)
    z = GaborFilters(8, 8000, 81, f_min=300.0)(x)
    energies = (z[..., :8] ** 2 + z[..., 8:] ** 2)[0].detach()
    w = torch.hann_window(200) ** 2
    n = 30
    expected = (energies[80 * n + 40 - 199 : 80 * n + 41] * w.unsqueeze(1)).sum(0) / w.sum()
    assert ((bank(x)[0, n] - expected).abs() / expected).max() < 0.2


def test_energies_are_averages():
    z, layer = torch.randn(1, 20, 4, dtype=torch.float64), BandEnergy(2, 3, 5, width=0.3).double()
    energy = z[0, :, :2] ** 2 + z[0, :, 2:] ** 2
    w = torch.exp(-0.5 * ((torch.arange(5) - 2) / (0.3 * 2)) ** 2).double()
    w /= w.sum()
    for n, found in enumerate(layer(z)[0]):
        expected = sum(w[m] * energy[3 * n - m] for m in range(5) if 3 * n - m >= 0)
        assert_close(found, expected, dtype=torch.float32)


def pcen_loop(energy, gain, bias, power, s, eps):
    m, out = energy[0], []
    for e in energy:
        m = m + s * (e - m)
        out.append((e / (eps + m) ** gain + bias) ** power - bias**power)
    return np.stack(out)


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
def test_pcen_is_its_loop(scale):
    energy = scale * torch.rand(1, 100, 3, dtype=torch.float64)
    layer = PCEN(3).double()
    s = 1 - 2 ** (-1 / layer.average.half_life.value.double().numpy())
    values = (h.value.double().numpy() for h in (layer.gain, layer.bias, layer.power))
    assert (
        abs(layer(energy)[0].detach().numpy() - pcen_loop(energy[0].numpy(), *values, s, 1e-6)).max() < 1e-6
    )


def test_a_pcen_whose_average_starts_at_0_is_caught():
    energy = torch.rand(1, 100, 1, dtype=torch.float64)
    layer = PCEN(1, 0.96, 2.0, 0.5, 16.98).double()
    layer.average.start = "zero"  # planted
    s = 1 - 2 ** (-1 / 16.98)
    assert abs(layer(energy)[0].numpy() - pcen_loop(energy[0].numpy(), 0.96, 2.0, 0.5, s, 1e-6)).max() > 1e-3


def test_logarithms():
    x = torch.tensor([-1.0, 0.0, 1.0]).reshape(1, 3, 1)
    assert_close(LogCompression(1, 0.1)(x).flatten(), torch.tensor([0.1, 0.1, 1.1]).log())


@pytest.mark.parametrize(("orig", "new"), [(3, 2), (2, 3), (44100, 16000), (16000, 8000), (8000, 8000)])
def test_resampled_tones(orig, new):
    layer, time = Resample(orig, new).double(), 2000
    freq = 0.1 * min(orig, new)
    x = torch.sin(2 * math.pi * freq / orig * torch.arange(time, dtype=torch.float64)).reshape(1, -1, 1)
    y = layer(x)[0, :, 0]
    late = layer.delay * layer.rate
    assert late.denominator == 1
    n = torch.arange(len(y), dtype=torch.float64)
    expected = torch.sin(2 * math.pi * freq / new * (n - int(late)))
    ends = 2 * int(late) + 2
    assert (y - expected)[ends:-ends].abs().max() < 2e-3
