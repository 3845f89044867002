"""Biquad and SOS: scipy's sosfilt, first values from scipy's designs, and stability for every raw value."""

import math

import numpy as np
import pytest
import scipy.signal as ss
import torch

from dsptorch import SOS, Biquad, BoundedHyperparam, fold
from dsptorch.functional import biquad_sos, sosfilt
from dsptorch.functional.biquad import BIQUADS
from dsptorch.functional.lfilter import pole_radius
from dsptorch.testing import assert_bounded, assert_identity
from tests.layers.table import WIDTH, scattered, signal
from tests.tolerances import assert_close, assert_same

BUTTER = ss.butter(4, 0.25, output="sos")


def by_scipy(sos, x):
    """Each channel by `scipy.signal.sosfilt`."""
    sos = sos.detach().double().expand(-1, 6, x.shape[-1]) if sos.dim() == 3 else sos.double().unsqueeze(-1)
    sos = sos.expand(-1, 6, x.shape[-1]).numpy()
    channels = [
        ss.sosfilt(np.ascontiguousarray(sos[..., c]), x[..., c].numpy(), axis=1) for c in range(x.shape[-1])
    ]
    return torch.from_numpy(np.stack(channels, -1))


class TestBiquad:
    @pytest.mark.parametrize("kind", BIQUADS)
    def test_is_scipys_sosfilt(self, kind):
        x = signal(2, 200)
        for layer in (
            Biquad(WIDTH, kind).double(),
            Biquad(WIDTH, kind, 0.1, 3.0),
            Biquad(WIDTH, kind, 0.2).double(),
        ):
            assert (layer(x) - by_scipy(layer.sos(), x)).abs().max() < 1e-10

    def test_is_its_design(self):
        sos = Biquad(2, "bandpass", 0.1, 3.0).sos()
        assert sos.shape == (1, 6)
        freq, q = torch.tensor([0.1, 3.0], dtype=torch.float64)
        assert_close(sos[0], biquad_sos("bandpass", freq, q))
        learned = Biquad(2, "notch", BoundedHyperparam(torch.tensor([0.1, 0.2]), 0.05, 0.4, log=True), 2.0)
        assert_close(learned.sos()[0], biquad_sos("notch", learned.freq(), 2.0))

    def test_free_is_the_identity_at_first_and_learns_by_itself(self):
        layer = Biquad(WIDTH, "free")
        assert_identity(layer, signal(dtype=torch.float32))
        layer = scattered(layer)
        assert_close(layer(signal()), by_scipy(layer.sos(), signal()))

    def test_begins_spread_over_its_channels(self):
        layer = Biquad(8)
        assert (layer.freq.value.diff() > 0).all()
        assert (layer.freq.low, layer.freq.high) == (1 / 64, 1 / 4)
        assert layer.q.value.item() == pytest.approx(0.5**0.5)

    def test_a_state_is_the_zf_of_scipy(self):
        layer, x = Biquad(1, "lowpass", 0.1, 2.0), signal(1, 50, width=1)
        sos = layer.sos().numpy()
        _, state = layer.step(x)
        _, zf = ss.sosfilt(sos, x[0, :, 0].numpy(), zi=np.zeros((1, 2)))
        assert_close(state.memory[0][0, :, 0], torch.from_numpy(zf[0]))


class TestSOS:
    def test_begins_as_the_design_of_scipy(self):
        x = signal(2, 300)
        layer = SOS(WIDTH, BUTTER).double()
        assert_close(layer.sos()[..., 0], torch.from_numpy(BUTTER), dtype=torch.float32)
        assert (layer(x) - torch.from_numpy(ss.sosfilt(BUTTER, x.numpy(), axis=1))).abs().max() < 1e-5
        assert_close(layer(x), by_scipy(layer.sos(), x))

    def test_a_number_of_sections_begins_as_the_identity(self):
        assert_identity(SOS(WIDTH, 3), signal(dtype=torch.float32))
        layer = scattered(SOS(WIDTH, 3))
        assert_close(layer(signal()), by_scipy(layer.sos(), signal()))

    def test_a_design_for_each_channel(self):
        sos = torch.from_numpy(np.stack([ss.butter(2, w, output="sos") for w in (0.1, 0.3, 0.5, 0.8)], -1))
        layer = SOS(WIDTH, sos)
        assert_close(layer.sos(), sos, dtype=torch.float32)

    def test_folds_to_itself(self):
        for layer in (scattered(SOS(WIDTH, 2)), Biquad(WIDTH).double(), Biquad(WIDTH, "free").double()):
            folded = fold(layer)
            assert type(folded) is type(layer)
            assert not any(p.requires_grad for p in folded.parameters())
            assert not any(isinstance(part, BoundedHyperparam) for part in folded.modules())
            assert_same(folded(signal()), layer(signal()))

    def test_a_step_without_gradients_computes_its_sections_once(self):
        layer, x = SOS(WIDTH, 2), signal(1, 10, torch.float32)
        calls = []
        sections, layer.sos = layer.sos, lambda: calls.append(1) or sections()
        with torch.no_grad():
            state = None
            for now in x.split(1, 1):
                _, state = layer.step(now, state)
            assert len(calls) == 1
            layer.sections.b.mul_(2)
            assert_close(layer(x), sosfilt(sections(), x))


def check_stable(sos, radius):
    """The rounded sections have their poles inside the circle, and their responses a bound."""
    assert sos.dtype == torch.float32
    found = pole_radius(sos[:, 4], sos[:, 5])
    assert (found < 1).all()
    assert (found <= radius + 1e-3).all()


def check_responses(layer, bound):
    impulse = torch.zeros(1, 500, layer.d_model)
    impulse[:, 0] = 1
    response = layer(impulse)
    assert response.isfinite().all()
    assert response.abs().sum(1).max() <= bound


@pytest.mark.parametrize("max_half_life", [4.0, 256.0, 512.0])
@torch.no_grad()
def test_every_raw_value_of_a_free_section_is_stable_in_float32(max_half_life):
    """A pair of poles at radius r or less: sum |h| <= sum |b| sum_t (t + 1) r^t = sum |b| / (1 - r)^2."""
    layer, radius = SOS(10_000, 1, max_half_life=max_half_life), 2 ** (-1 / max_half_life)
    for k in (layer.sections.k1, layer.sections.k2):
        k.raw.copy_(torch.rand(1, 10_000) * 100 - 50)
    check_stable(layer.sos(), radius)
    check_responses(layer, 1.01 / (1 - radius) ** 2)


def test_a_radius_of_1_is_caught():
    layer = SOS(100, 1, max_half_life=4.0)
    layer.sections.radius = 1.0
    with torch.no_grad():
        for k, raw in ((layer.sections.k1, -50.0), (layer.sections.k2, 50.0)):
            k.raw.fill_(raw)
        with pytest.raises(AssertionError):
            check_stable(layer.sos(), 1.0)
        with pytest.raises(AssertionError):
            check_responses(layer, 1.01 / (1 - 2 ** (-1 / 4)) ** 2)


@pytest.mark.parametrize("kind", BIQUADS)
@torch.no_grad()
def test_every_raw_value_by_frequency_and_q_is_stable_in_float32(kind):
    freq = BoundedHyperparam(torch.full((10_000,), 0.1), 1e-3, 0.499, log=True)
    q = BoundedHyperparam(torch.full((10_000,), 1.0), 0.1, 100.0, log=True)
    layer = Biquad(10_000, kind, freq, q)
    for h in (layer.freq, layer.q):
        h.raw.copy_(torch.rand(10_000) * 100 - 50)
    check_stable(layer.sos(), 1.0)
    check_responses(layer, 1e3)


def test_is_bounded():
    example = torch.zeros(1, 120, 1, dtype=torch.float64)
    assert_bounded(Biquad(1, "lowpass", 0.1, 0.5).double(), example, 1.01)
    assert_bounded(SOS(1, BUTTER).double(), example)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: Biquad(4, "shelf"), ValueError, r"lowpass, .*, allpass, free, got 'shelf'"),
        (
            lambda: Biquad(4, freq=0.5),
            ValueError,
            r"freq must be a finite number in \[0.001, 0.499\], got 0.5",
        ),
        (lambda: Biquad(4, freq=(0, 0.2)), ValueError, "freq must be a finite number"),
        (lambda: Biquad(4, q=0.0), ValueError, r"q must be a finite number in \[0.1, 100\], got 0"),
        (lambda: Biquad(4, "free", 0.1), ValueError, "a free section has no freq and no q"),
        (lambda: SOS(4, 0), ValueError, "at least 1 section, got 0"),
        (lambda: SOS(4, "butter"), TypeError, "a number of sections, or an array of them, got 'butter'"),
        (
            lambda: SOS(4, torch.ones(1, 5)),
            ValueError,
            r"of shape \(sections, 6\) or \(sections, 6, 4\), got \(1, 5\)",
        ),
        (lambda: SOS(4, torch.ones(1, 6, 3)), ValueError, r"got \(1, 6, 3\)"),
        (lambda: SOS(4, 2 * BUTTER), ValueError, r"sos\[:, 3\] must be 1"),
        (lambda: SOS(4, BUTTER * math.nan), ValueError, "sos must be finite"),
        (
            lambda: SOS(4, torch.tensor([[1.0, 0, 0, 1, -2.0, 1.0]])),
            ValueError,
            "sos must be stable.*radius 1",
        ),
        (
            lambda: SOS(4, ss.butter(2, 0.001, output="sos")),
            ValueError,
            r"fade to half within max_half_life=256 samples, got a pole of 312.0 samples; raise max_half_life",
        ),
        (
            lambda: SOS(4, max_half_life=1000),
            ValueError,
            r"max_half_life must be in \[1, 512\] samples, got 1000",
        ),
    ],
)
def test_refuses(make, error, says):
    with pytest.raises(error, match=says):
        make()
