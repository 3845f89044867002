"""Every family of filterbanks reconstructs perfectly, keeps energy, and has no alias, whatever its parameters are."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import strategies as st

import dsptorch.functional as f
from dsptorch.functional import analysis, synthesis
from dsptorch.functional.bank_design import _energy_beyond
from dsptorch.testing import strategies as dst
from tests.strategies import fails, holds
from tests.tolerances import assert_close

F64 = torch.float64
FAMILIES = {
    "lattice": dst.lattice_banks(),
    "paraunitary": dst.paraunitary_banks(),
    "cosine": dst.cosine_banks(),
    "dft": dst.dft_banks(),
}
every = pytest.mark.parametrize("family", FAMILIES)


def noise(*shape, seed=0):
    return torch.randn(shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def reconstructed(x, bank, stride, back=None):
    """The bands of a signal put together again, as long as it is."""
    bands = analysis(x, bank, stride)
    return synthesis(bands, bank.flip(1) if back is None else back, stride)[:, : x.shape[1]]


# Properties


def check_reconstruction(drawn, back=None, late=0):
    bank, stride = drawn
    delay = bank.shape[1] - 1 + late
    x = noise(1, 3 * bank.shape[1] + 5, 2)
    y = reconstructed(x, bank, stride, None if back is None else back(bank))
    assert_close(y, F.pad(x, (0, 0, delay, -delay)))


@every
def test_reconstructs_perfectly(family):
    holds(check_reconstruction, FAMILIES[family])


@pytest.mark.parametrize(
    "broken",
    [{"back": lambda bank: bank}, {"back": lambda bank: 1.001 * bank.flip(1)}, {"late": 1}],
    ids=["synthesis not reversed", "a gain", "N instead of N - 1"],
)
def test_reconstruction_catches(broken):
    fails(lambda drawn: check_reconstruction(drawn, **broken), dst.banks())


def check_energy(drawn, gain=1.0):
    bank, stride = drawn
    x = noise(2, 23, 1)
    bands = gain * analysis(F.pad(x, (0, 0, 0, bank.shape[1] + stride)), bank, stride)
    assert_close(bands.square().sum((1, 2)), x.square().sum((1, 2)))


@every
def test_keeps_energy(family):
    holds(check_energy, FAMILIES[family])
    fails(lambda drawn: check_energy(drawn, 1.001), FAMILIES[family])


def check_adjoint(drawn, back=lambda bank: bank.flip(1)):
    """<H x, v> = <x, H' v>, where H' is the synthesis without its delay."""
    bank, stride = drawn
    delay = bank.shape[1] - 1
    x = noise(1, 7 * stride, 1)
    v = noise(1, 7, bank.shape[0], seed=1)
    y = synthesis(F.pad(v, (0, 0, 0, delay)), back(bank), stride)[:, delay : delay + x.shape[1]]
    assert_close((analysis(x, bank, stride) * v).sum(), (x * y).sum())


@every
def test_synthesis_is_the_adjoint(family):
    holds(check_adjoint, FAMILIES[family])


def test_another_synthesis_is_no_adjoint():
    fails(lambda drawn: check_adjoint(drawn, lambda bank: bank), dst.banks())


def check_alias(drawn, cycles, back=None):
    """A tone comes back as that tone alone, without one at a distance of k / M."""
    bank, stride = drawn
    settled = bank.shape[1] + stride
    period = 16 * stride
    x = torch.cos(2 * math.pi * cycles / period * torch.arange(settled + period, dtype=F64)).view(1, -1, 1)
    y = reconstructed(x, bank, stride, None if back is None else back(bank))[0, settled:, 0]
    spectrum = torch.fft.rfft(y).abs() / (period / 2)
    spectrum[cycles] = 0
    assert_close(spectrum, torch.zeros_like(spectrum))


@every
def test_has_no_alias(family):
    holds(check_alias, FAMILIES[family], st.integers(1, 7))


def test_alias_is_caught():
    fails(
        lambda *case: check_alias(*case, back=lambda bank: bank[:1].flip(1)), dst.banks(), st.integers(1, 7)
    )


# Any raw value


RAW = {
    "lattice": (f.lattice_filters, [(6,)], 2),
    "lattice with a moment": (lambda a: f.lattice_filters(f.with_vanishing_moment(a)), [(5,)], 2),
    "paraunitary": (f.paraunitary_bank, [(3, 8), (7, 8)], 8),
    "cosine": (lambda a: f.cosine_bank(a, 8), [(4, 3)], 8),
    "dft": (lambda w: f.dft_bank(f.tight_window(w, 8)), [(32,)], 8),
}


def check_any_parameters(name, dtype, scale):
    """Parameters as large and as small as training and half precision leave them."""
    build, shapes, stride = RAW[name]
    for seed in range(5):
        drawn = [scale * noise(*shape, seed=seed + 10 * i).to(dtype) for i, shape in enumerate(shapes)]
        bank = build(*drawn)
        assert bank.dtype == torch.promote_types(dtype, torch.float32)
        x = noise(1, 200, 1).to(bank.dtype)
        delay = bank.shape[1] - 1
        error = reconstructed(x, bank, stride)[:, delay:] - x[:, :-delay]
        limit = 1e-12 if dtype == F64 else 2e-6
        assert error.abs().max() <= limit * x.abs().max()


@pytest.mark.parametrize("name", RAW)
@pytest.mark.parametrize("dtype", [F64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 100.0])
def test_reconstructs_at_any_parameters(name, dtype, scale):
    check_any_parameters(name, dtype, scale)


def test_filters_in_half_precision_are_caught(monkeypatch):
    build, *rest = RAW["cosine"]
    monkeypatch.setitem(RAW, "cosine", (lambda a: build(a).bfloat16().to(build(a).dtype), *rest))
    with pytest.raises(AssertionError):
        check_any_parameters("cosine", torch.float32, 1.0)


def test_autocast_leaves_the_filters_alone():
    for build, shapes, _ in RAW.values():
        drawn = [noise(*shape).float() for shape in shapes]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            inside = build(*drawn)
        assert torch.equal(inside, build(*drawn))


def check_moment(angles):
    low, high = f.lattice_filters(angles).sum(1).tolist()
    assert abs(high) <= 1e-6
    assert abs(low - math.sqrt(2)) <= 1e-6


def test_a_vanishing_moment_at_any_angles():
    for scale in (1, 100, 10_000):
        angles = scale * noise(7).float()
        check_moment(f.with_vanishing_moment(angles))
    with pytest.raises(AssertionError):  # the sum of large angles is rounded
        check_moment(torch.cat([angles, (math.pi / 4 - angles.sum()).view(1)]))


def test_a_zero_vector_is_the_identity():
    zero = torch.zeros(1, 3, dtype=F64)
    vectors, reflections = noise(2, 3), noise(2, 3, seed=1)
    with_zeros = f.paraunitary_bank(torch.cat([vectors, zero]), torch.cat([zero, reflections]))
    assert_close(with_zeros, F.pad(f.paraunitary_bank(vectors, reflections), (0, 3)))


# Designs


def test_closed_forms():
    for bands in (2, 3, 8):
        n = torch.arange(4 * bands, dtype=F64) + 0.5
        extended = math.sqrt(0.5) - torch.cos(n * math.pi / (2 * bands))
        assert_close(f.cosine_window(f.cosine_angles(bands, 2), bands), extended / math.sqrt(8 * bands))


def stop_band(bands, overlap):
    """The energy of the window beyond 1 / (2 M), in dB."""
    window = f.cosine_window(f.cosine_angles(bands, overlap), bands)
    energy = window @ _energy_beyond(0.5 / bands, len(window)) @ window / window.square().sum()
    return 10 * math.log10(energy)


def test_longer_overlaps_stop_more():
    levels = [stop_band(4, overlap) for overlap in (1, 2, 3, 4)]
    assert levels == sorted(levels, reverse=True)
    assert levels[2] < -36
    assert levels[3] < -41


def test_designs_are_the_same_anywhere():
    with torch.device("meta"), torch.inference_mode(), torch.no_grad():
        made = [f.cosine_angles(6, 3), f.lowpass_angles(3), f.dct_reflections(5)]
    f.cosine_angles(6, 3).mul_(2)  # a copy
    for angles, again in zip(
        made, (f.cosine_angles(6, 3), f.lowpass_angles(3), f.dct_reflections(5)), strict=True
    ):
        assert torch.equal(angles, again)
        assert angles.device.type == "cpu"


def test_dft_is_that_of_torch():
    window, x = torch.hann_window(16, dtype=F64), noise(1, 100, 1)
    frames = F.pad(x[:, :, 0], (15, 0))
    spectrum = torch.stft(frames, 16, 4, window=window, center=False, return_complex=True)[0].T
    gain = torch.tensor([1.0, *[math.sqrt(2)] * 7, 1], dtype=F64) / 4
    parts = torch.view_as_real(spectrum * gain).flatten(1)
    assert_close(analysis(x, f.dft_bank(window), 4)[0], parts)


def test_a_dual_window_reconstructs():
    window, x = noise(12), noise(1, 60, 1, seed=1)
    bank, back = f.dft_bank(window), f.dft_bank(f.dual_window(window, 3)).flip(1)
    assert_close(reconstructed(x, bank, 3, back)[:, 11:], x[:, :-11])


def test_a_phase_that_is_half_a_sample_off_is_caught():
    """(N - 1) / 2 is the middle of N taps, not N / 2."""
    bank, n = f.cosine_bank(f.cosine_angles(4, 2), 4), torch.arange(16, dtype=F64)
    window, k = f.cosine_window(f.cosine_angles(4, 2), 4), torch.arange(4, dtype=F64).unsqueeze(1)

    def modulated(middle):
        phase = (2 * k + 1) * math.pi / 8 * (n - middle) + (-1) ** k * math.pi / 4
        return 2 * window * phase.cos()

    assert_close(modulated(15 / 2), bank)
    check_reconstruction((modulated(15 / 2), 4))
    with pytest.raises(AssertionError):
        check_reconstruction((modulated(16 / 2), 4))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: f.lattice_filters(torch.ones(2, 2)), r"angles must be of shape \(S \+ 1,\)"),
        (lambda: f.with_vanishing_moment(torch.ones(2, 2)), r"angles must be of shape \(S,\)"),
        (lambda: f.paraunitary_bank(torch.ones(2, 3), torch.ones(2, 4)), r"\(2, 3\) and \(2, 4\)"),
        (lambda: f.paraunitary_bank(torch.ones(2, 3), torch.ones(0, 3)), "at least 1 reflection"),
        (lambda: f.cosine_bank(torch.ones(3, 2), 4), r"\(2, at least 1\), got \(3, 2\)"),
        (lambda: f.cosine_bank(torch.ones(1, 2), 1), "num_bands must be at least 2"),
        (lambda: f.dft_bank(torch.ones(5)), "an even number, got"),
        (lambda: f.tight_window(torch.ones(6), 4), "stride must divide the length.*stride=4"),
        (lambda: f.dual_window(torch.ones(6), 0), "stride must divide"),
        (lambda: f.cosine_angles(4, 0), "overlap must be at least 1"),
        (lambda: f.lowpass_angles(0), "num_angles must be at least 1"),
    ],
)
def test_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()
