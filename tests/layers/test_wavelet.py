"""Wavelet layers have PyWavelets' numbers, reconstruct whatever they learn, and stay wavelets."""

import math

import numpy as np
import pytest
import pywt
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from dsptorch import FIR, Chain, Subbands, Wavelet, WaveletPacket, WaveletSynthesis, insert
from dsptorch.functional import wavelet_filters
from dsptorch.layers import fold_layer
from dsptorch.testing import (
    assert_close,
    assert_energy_preserving,
    assert_perfect_reconstruction,
    assert_same,
)
from tests.layers.table import WIDTH, scattered, signal

KINDS = [Wavelet, WaveletPacket]
TREES = st.tuples(st.sampled_from(KINDS), st.sampled_from(["haar", "db2", "sym4", "db10"]), st.integers(1, 3))


def frames_like_pywt(layer, x):
    """The frames of a signal with a zero before it, but frame 0: PyWavelets' phase; enough of them."""
    after = layer.receptive_field + layer.grid
    return layer(F.pad(x, (0, 0, 1, after)))[:, 1:].detach()


def check_coefficients(mine, theirs):
    np.testing.assert_allclose(mine[:, : theirs.shape[1]].numpy(), theirs, rtol=0, atol=1e-12)
    assert not mine[:, theirs.shape[1] :].any()


@pytest.mark.parametrize("wavelet", ["haar", "db2", "db7", "db38", "sym9", "coif3"])
@pytest.mark.parametrize("level", [1, 2, 3])
@pytest.mark.filterwarnings("ignore:Level value")
def test_the_coefficients_are_those_of_pywavelets(wavelet, level):
    for time in (1, 2, 37):
        layer, x = Wavelet(3, wavelet, level, dtype=torch.float64), signal(2, time, width=3)
        theirs = pywt.wavedec(x.numpy(), wavelet, "zero", level, axis=1)
        for mine, its in zip(layer.split(frames_like_pywt(layer, x)), theirs, strict=True):
            check_coefficients(mine, its)


@pytest.mark.parametrize("order", ["natural", "freq"])
@pytest.mark.parametrize(("wavelet", "level"), [("haar", 3), ("db3", 1), ("coif1", 2), ("db2", 4)])
def test_the_packets_are_those_of_pywavelets(wavelet, level, order):
    layer, x = WaveletPacket(3, wavelet, level, order=order, dtype=torch.float64), signal(2, 37, width=3)
    nodes = pywt.WaveletPacket(x.numpy(), wavelet, "zero", maxlevel=level, axis=1).get_level(level, order)
    for mine, node in zip(layer.split(frames_like_pywt(layer, x)), nodes, strict=True):
        check_coefficients(mine, node.data)


def test_another_phase_is_caught():
    layer, x = Wavelet(1, "db2", 2).double(), signal(1, 20, width=1)
    theirs = pywt.wavedec(x.numpy(), "db2", "zero", 2, axis=1)
    with pytest.raises(AssertionError):
        check_coefficients(layer.split(layer(F.pad(x, (0, 0, 0, 30))).detach())[0], theirs[0])


@given(TREES, st.integers(0, 9))
def test_any_angles_reconstruct_and_keep_the_energy(tree, seed):
    kind, wavelet, level = tree
    layer = scattered(kind(2, wavelet, level), seed)
    x = signal(2, 3 * layer.total_delay, width=2)
    back = WaveletSynthesis(layer)
    assert layer.total_delay == (2**level - 1) * (len(wavelet_filters(wavelet).dec_lo) - 1)
    assert Chain(layer, back).delay == layer.total_delay
    assert_perfect_reconstruction((layer, back), x, delay=layer.total_delay)
    assert_energy_preserving(layer, x, tail=2 * layer.grid * layer.receptive_field)


@given(TREES)
def test_synthesis_is_the_transpose_delayed(tree):
    """<H x, v> = <x, H' v>."""
    kind, wavelet, level = tree
    layer = scattered(kind(1, wavelet, level))
    late, frames = layer.total_delay, 5
    x, v = signal(1, frames * layer.grid, width=1), signal(1, frames, seed=1, width=layer.d_out)
    back = layer.synthesis()(F.pad(v, (0, 0, 0, late)))[:, late:]
    assert_close((layer(x) * v).sum(), (x * back[:, : x.shape[1]]).sum())


def check_is_a_wavelet(layer):
    """The filters are orthonormal, and the high-pass stops DC."""
    low, high = layer.matrix().double()
    tolerance = 1e-6 if layer.filters.angles.dtype == torch.float32 else 1e-13
    for shift in range(0, len(low), 2):
        for a, b, expected in ((low, low, shift == 0), (low, high, 0), (high, high, shift == 0)):
            assert abs((a[shift:] * b[: len(b) - shift]).sum().item() - expected) < tolerance
    assert abs(high.sum().item()) < tolerance
    assert abs(low.sum().item() - math.sqrt(2)) < tolerance


@pytest.mark.parametrize(
    ("kind", "steps"),
    [(Wavelet, 60), (WaveletPacket, 60), pytest.param(Wavelet, 500, marks=pytest.mark.slow)],
)
def test_a_wavelet_that_learned_is_a_wavelet(kind, steps):
    """Steps of Adam at lr 0.1 of a loss that knows nothing of wavelets, in float32."""
    layer, x = kind(1, "db4", 2), signal(4, 128, torch.float32, width=1)
    first = layer.matrix().detach().clone()
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        layer(x).abs().mean().backward()
        optimizer.step()
    assert (layer.matrix() - first).abs().max() > 0.1
    check_is_a_wavelet(layer)
    late = layer.total_delay
    back = WaveletSynthesis(layer)(layer(F.pad(x, (0, 0, 0, late))))[:, late : late + 128]
    assert (back - x).abs().max() < 2e-6 * x.abs().max()


def test_free_taps_are_no_wavelet():
    layer = Wavelet(1, "db2")
    taps = torch.tensor(wavelet_filters("db2")[:2]) + 1e-3
    layer.matrix = lambda: taps
    with pytest.raises(AssertionError):
        check_is_a_wavelet(layer)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_angles_stay_float32_and_bands_are_as_exact_as_the_signal(dtype):
    layer, x = Wavelet(WIDTH, "db3", 2), signal(2, 60, torch.float32)
    before = layer.filters.angles.detach().clone()
    layer.to(dtype)
    assert_same(layer.filters.angles.detach(), before)
    exact = layer(x.to(dtype).float())
    y = layer(x.to(dtype))
    assert y.dtype == dtype
    assert_close(y, exact, dtype=dtype, scale=exact.abs().max().item())


def test_frames_split_and_join():
    layer, x = Wavelet(2, "db2", 3), signal(2, 37, torch.float32, width=2)
    y = layer(x)
    coeffs = layer.split(y)
    assert [c.shape[1] for c in coeffs] == [5, 5, 10, 20]
    assert_same(layer.join(coeffs), y)
    # One sample of a detail after another: a click in one coefficient is one of PyWavelets' wavelets.
    clicks = [torch.zeros_like(c) for c in coeffs]
    clicks[-1][0, 9, 0] = 1.0
    wave = WaveletSynthesis(layer)(layer.join(clicks))[0, :, 0].detach().numpy()
    found = wave[np.flatnonzero(wave)]
    np.testing.assert_allclose(found, pywt.Wavelet("db2").rec_hi, rtol=0, atol=1e-6)


def test_a_layer_between_the_bands_streams_with_them():
    wavelet = Wavelet(WIDTH, "db2", 2, dtype=torch.float64)
    layer = Chain(wavelet, FIR(4 * WIDTH, 3, dtype=torch.float64), WaveletSynthesis(wavelet))
    assert (layer.rate, layer.d_out, layer.delay, layer.lookahead, layer.period) == (1, WIDTH, 9, 0, 4)
    x = signal(2, 40)
    assert_close(layer(x)[:, 9:], x[:, :-9])
    ys, state = [], None
    for token in x.split(1, 1):
        y, state = layer.step(token, state)
        ys.append(y)
    assert_close(torch.cat(ys, 1), layer(x))


@pytest.mark.parametrize("kind", KINDS)
def test_it_folds_into_fixed_filters(kind):
    layer, x = scattered(kind(WIDTH, "db3", 2)), signal(2, 40)
    y = layer(x)
    folded, back = fold_layer(layer), fold_layer(layer.synthesis())
    assert not [*folded.parameters(), *back.parameters()]
    assert_close(folded(x), y)
    assert_close(back(y), layer.synthesis()(y))


@pytest.mark.parametrize("kind", KINDS)
def test_subbands_own_its_filters_once(kind):
    layer, x = Subbands(scattered(kind(WIDTH, "db2", 2))), signal(2, 40)
    assert [name for name, _ in layer.named_parameters()] == ["layers.0.filters.angles"]
    assert_close(layer(x)[:, layer.delay :], x[:, : -layer.delay])


def test_a_width_that_grows_does_not_go_into_a_model():
    with pytest.raises(
        ValueError, match="keep rate and width, got for 0 Wavelet of rate 1/2, 4 to 8 channels"
    ):
        insert(torch.nn.Sequential(torch.nn.Linear(WIDTH, WIDTH)), "0", lambda _: Wavelet(WIDTH))


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: Wavelet(4, "db39"), ValueError, "unknown wavelet 'db39'; the nearest names: db38"),
        (lambda: Wavelet(4, "bior2.2"), ValueError, "'bior2.2' is biorthogonal.*orthonormal wavelet"),
        (lambda: Wavelet(4, 2), TypeError, "wavelet must be a name"),
        (lambda: Wavelet(0, "db2"), ValueError, "d_model must be at least 1, got 0"),
        (lambda: Wavelet(4, "db2", 0), ValueError, "level must be at least 1, got 0"),
        (lambda: WaveletPacket(4, "db2", 13), ValueError, "level must be at most 12, got 13"),
        (lambda: WaveletPacket(4, order="frequency"), ValueError, "'natural' or 'freq', got 'frequency'"),
        (lambda: WaveletSynthesis(FIR(4)), TypeError, "takes a Wavelet or a WaveletPacket, got FIR"),
        (
            lambda: Wavelet(4).step(signal().float(), Wavelet(4, level=2).step(signal().float())[1]),
            ValueError,
            "changes the rate every 2 samples",
        ),
    ],
)
def test_bad_arguments_are_refused(make, kind, message):
    with pytest.raises(kind, match=message):
        make()
