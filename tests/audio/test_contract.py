"""The layers of dsptorch.audio keep the contract of every layer, on waveforms."""

import pytest
import torch

from dsptorch import FIR, Chain, fold
from dsptorch.audio import PCEN, STFT, LogCompression, MelSpectrogram
from dsptorch.testing import assert_causal, assert_close, assert_streaming_equals_batch, check_layer
from dsptorch.testing.contract import CONTRACT
from tests.audio.table import EVERY, FRONTS, waveform

QUICK = ("STFT", "MelSpectrogram", "GaborBank", "Gammatone", "Resample down", "mel and PCEN", "BandEnergy")
"""One of each kind; the others are in the slow suite."""


def rows(names):
    return [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in names]


each = pytest.mark.parametrize("name", rows(EVERY))
each_front = pytest.mark.parametrize("name", rows(FRONTS))
COSTLY = ("compiles", "exports", "gradients")
CHEAP = [promise for promise in CONTRACT if promise not in COSTLY]


@each
def test_keeps_the_contract(name):
    check_layer(EVERY[name](), factory=EVERY[name], skip=COSTLY)


@pytest.mark.slow
@each
def test_keeps_the_costly_part_of_the_contract(name):
    check_layer(EVERY[name](), factory=EVERY[name], skip=CHEAP)


def check_chunks(layer, tolerance, dtype, sizes):
    x = waveform(time=300, dtype=dtype)
    layer, whole, state, parts = layer.to(dtype), None, None, []
    whole = layer(x)
    for chunk in x.split(sizes, 1):
        y, state = layer.step(chunk, state)
        parts.append(y)
    assert (torch.cat(parts, 1) - whole).abs().max() <= tolerance * max(1.0, whole.abs().max().item())
    assert whole.shape[1] == -(-300 * layer.rate.numerator // layer.rate.denominator)


RAGGED = [1, 7, 0, 30, 2, 8, 8, 100, 144]


@each_front
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_any_chunks_give_the_whole(name, dtype, tolerance):
    with torch.no_grad():
        for sizes in (1, 8, RAGGED):
            check_chunks(FRONTS[name](), tolerance, dtype, sizes)


@each_front
def test_folds(name):
    layer, x = FRONTS[name]().double(), waveform(time=300)
    with torch.no_grad():
        assert_close(fold(layer)(x), layer(x))


@each_front
def test_is_causal_at_every_cut(name):
    layer = FRONTS[name]().double()
    assert_causal(layer, waveform(1, 64), thorough=True)


class Centred(STFT):
    """torch.stft's frames by default: their middle, not their end, stands at the sample."""

    def process(self, x, memory, timeline):
        return super().process(x.roll(-(self.n_fft // 2), 1), memory, timeline)  # planted


def test_centred_frames_are_caught():
    with pytest.raises(AssertionError):
        assert_causal(Centred(16, hop_length=4).double(), waveform(1, 64))


class Forgetful(STFT):
    """A stream that begins each chunk with a frame of its own."""

    def process(self, x, memory, timeline):
        return super().process(x, None, timeline)  # planted


def test_frames_that_are_lost_at_the_borders_are_caught():
    with pytest.raises(AssertionError):
        assert_streaming_equals_batch(Forgetful(16, hop_length=4).double(), waveform(1, 64))


SIGNALS = {
    "silence": torch.zeros(1, 200, 1),
    "full scale": torch.ones(1, 200, 1) * (1 - 2 * (torch.arange(200) % 2)).reshape(1, 200, 1),
    "DC": torch.ones(1, 200, 1),
    "next to nothing": torch.full((1, 200, 1), 1e-30),
}


@each_front
@pytest.mark.parametrize("kind", SIGNALS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_outputs_and_gradients_are_finite(name, kind, dtype):
    layer, x = FRONTS[name]().to(dtype), SIGNALS[kind].to(dtype).requires_grad_()
    y = layer(x)
    assert y.dtype == dtype
    y.float().sum().backward()
    for found in (y, x.grad, *(p.grad for p in layer.parameters())):
        assert found is None or found.isfinite().all()


def test_a_logarithm_without_a_floor_is_caught():
    class Bare(LogCompression):
        def apply_pointwise(self, x):
            return torch.log(x)  # planted

    assert not Chain(STFT(16, power=2.0), Bare(9))(SIGNALS["silence"]).isfinite().all()
    assert Chain(STFT(16, power=2.0), LogCompression(9))(SIGNALS["silence"]).isfinite().all()


def test_goes_into_a_chain_with_layers_of_features():
    layer = Chain(MelSpectrogram(16000), PCEN(64), FIR(64, 4))
    assert layer(waveform(2, 1601, torch.float32)).shape == (2, 11, 64)
