"""Resonator: a complex one-pole in real arithmetic, its gains, and stability for every raw value."""

import math

import pytest
import torch

from dsptorch import BoundedHyperparam, Resonator, fold
from dsptorch.testing import assert_bounded
from tests.layers.table import WIDTH, signal
from tests.tolerances import assert_close


def literal(x, freq, half_life, gain):
    """z[t] = p z[t-1] + g x[t] in complex numbers, one sample at a time."""
    p = 2 ** (-1 / half_life) * torch.exp(2j * math.pi * freq)
    z, found = torch.zeros_like(x[:, 0]).to(torch.complex128), []
    for now in x.unbind(1):
        z = p * z + gain * now
        found.append(z)
    return torch.stack(found, 1)


def test_is_a_complex_one_pole():
    freq, half_life = (
        torch.tensor([0.0001, 0.01, 0.25, 0.5]).double(),
        torch.tensor([0.5, 3.0, 30.0, 8.0]).double(),
    )
    bounds = {"freq": (1e-5, 0.5 + 1e-7), "half_life": (0.5 - 1e-7, 64.0)}
    learned = {
        "freq": BoundedHyperparam(freq.clamp(max=0.4999), 1e-5, 0.5, log=True, dtype=torch.float64),
        "half_life": BoundedHyperparam(half_life, 0.25, 64.0, log=True, dtype=torch.float64),
    }
    assert set(bounds) == set(learned)
    x = signal(2, 100)
    for gain in ("peak", "noise"):
        layer = Resonator(WIDTH, **learned, gain=gain, output="both")
        f, h = layer.freq.value, layer.half_life.value
        radius = 2 ** (-1 / h)
        z = literal(x, f, h, 1 - radius if gain == "peak" else (1 - radius**2).sqrt())
        assert_close(layer(x), torch.cat([z.real, z.imag], -1))
        layer.output, layer.d_out = "real", WIDTH
        assert_close(layer(x), z.real)


def test_the_peak_is_at_its_frequency():
    layer = Resonator(1, 0.125, 40.0, output="both").double()
    t = torch.arange(1000)
    tones = {f: torch.cos(2 * math.pi * f * t).double().reshape(1, -1, 1) for f in (0.1, 0.125, 0.15)}
    envelope = {f: layer(x).square().sum(-1).sqrt()[0, -200:].mean().item() for f, x in tones.items()}
    assert envelope[0.125] == pytest.approx(0.5, abs=0.02)  # half of a cosine turns the other way
    assert max(envelope, key=envelope.get) == 0.125
    assert envelope[0.1] < 0.1
    assert envelope[0.15] < 0.1


def test_noise_keeps_its_variance():
    layer = Resonator(1, 0.2, 10.0, gain="noise", output="both").double()
    z = layer(torch.randn(1, 40_000, 1, dtype=torch.float64))
    assert z.square().sum(-1).mean().item() == pytest.approx(1, rel=0.05)


def test_starts_with_longer_half_lives_at_lower_frequencies():
    layer = Resonator(8)
    assert (layer.freq.value.diff() > 0).all()
    assert (layer.half_life.value.diff() < 0).all()
    cycles = layer.freq.value * layer.half_life.value
    assert_close(cycles, torch.ones(8))


def test_folds_to_itself():
    layer, x = Resonator(WIDTH), signal(dtype=torch.float32)
    folded = fold(layer)
    assert type(folded) is Resonator
    assert not list(folded.parameters())
    assert_close(folded(x), layer(x))


def check_stable(radius, angle):
    """The rounded matrix [[r cos, -r sin], [r sin, r cos]] has its poles, and what it does to a state, inside."""
    assert radius.dtype == torch.float32
    real, imaginary = (radius * torch.cos(angle)).double(), (radius * torch.sin(angle)).double()
    assert (torch.hypot(real, imaginary) < 1).all()


def test_every_raw_value_is_stable_in_float32():
    for bounds in ((0.1, 65536.0), (4.0, 64.0), (65535.0, 65536.0)):
        middle = torch.full((10_000,), math.sqrt(bounds[0] * bounds[1]))
        layer = Resonator(
            10_000,
            BoundedHyperparam(torch.full((10_000,), 0.1), 1e-5, 0.5, log=True),
            BoundedHyperparam(middle, *bounds, log=True),
            output="both",
        )
        with torch.no_grad():
            for h in (layer.freq, layer.half_life):
                h.raw.copy_(torch.rand(10_000) * 100 - 50)
            check_stable(*layer._pole(torch.zeros(1)))
            impulse = torch.zeros(1, 300, 10_000)
            impulse[:, 0] = 1
            real, imaginary = layer(impulse).chunk(2, -1)
        size = torch.hypot(real, imaginary)
        assert size.sum(1).max() <= 1 + 1e-4
        assert (size.diff(dim=1) <= 1e-9).all()


def test_a_pole_at_1_is_caught():
    with pytest.raises(AssertionError):
        check_stable(torch.exp2(-1 / torch.tensor([1e9])), torch.tensor([0.0]))


def test_is_bounded():
    example = torch.zeros(1, 80, 1, dtype=torch.float64)
    assert_bounded(Resonator(1, 0.1, 5.0).double(), example, 1.0)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Resonator(4, 0.0), r"freq must be a finite number in \[1e-05, 0.5\], got 0"),
        (lambda: Resonator(4, (0.1, 0.6)), r"freq must be a finite number in \[1e-05, 0.5\], got 0.6"),
        (lambda: Resonator(4, half_life=0), r"half_life must be a finite number in \[0.1, 65536\], got 0"),
        (lambda: Resonator(4, gain="max"), "gain must be 'peak' or 'noise', got 'max'"),
        (lambda: Resonator(4, output="complex"), "output must be 'real' or 'both', got 'complex'"),
    ],
)
def test_refuses(make, says):
    with pytest.raises(ValueError, match=says):
        make()
