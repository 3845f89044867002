"""The filters of the wavelets, and the angles of their lattices."""

import decimal
import itertools
import math

import numpy as np
import pytest
import pywt
import torch

from dsptorch.functional import lattice_angles, wavelet_angles, wavelet_filters, wavelet_names, wavelets
from dsptorch.functional.exact import exactly, solve
from dsptorch.functional.wavelet_design import _OUTSIDE, _inside

SLOW = [f"coif{n}" for n in range(8, 18)] + [f"db{n}" for n in range(25, 38)]  # take up to half a second each
EVERY = [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in wavelet_names()]
ORTHONORMAL = [case for case in EVERY if case not in wavelet_names()[-30:]]


def lattice(angles: tuple[float, ...]) -> np.ndarray:
    """The low and the high filter of a lattice: (2, taps)."""
    taps = np.zeros((2, 2 * len(angles)))
    taps[0, 0] = taps[1, 1] = 1
    for i, a in enumerate(angles):
        if i:
            taps[1] = np.roll(taps[1], 2)
        taps = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]) @ taps
    return taps


def pywt_error(wavelet: str) -> float:
    """How far PyWavelets' own table is from perfect reconstruction: up to 5e-12 for the symlets."""
    low, _, back, _ = (np.array(taps) for taps in pywt.Wavelet(wavelet).filter_bank)
    return np.abs(np.convolve(low, back)[1::2] - (np.arange(len(low) - 1) == len(low) // 2 - 1)).max()


@pytest.mark.parametrize("wavelet", EVERY)
def test_filters_are_those_of_pywavelets(wavelet):
    theirs = pywt.Wavelet(wavelet)
    # Some of PyWavelets' tables are known to fewer digits: their taps are as wrong as their reconstruction.
    tolerance = max(1e-15, 10 * pywt_error(wavelet))
    for name, taps in wavelet_filters(wavelet)._asdict().items():
        np.testing.assert_allclose(taps, getattr(theirs, name), rtol=0, atol=tolerance, err_msg=name)


def test_the_comparison_catches_filters_in_the_wrong_order():
    ours, theirs = wavelet_filters("db4"), pywt.Wavelet("db4")
    assert not np.allclose(ours.rec_lo, theirs.dec_lo)
    assert not np.allclose(ours.dec_hi, theirs.rec_hi)


@pytest.mark.parametrize("wavelet", ORTHONORMAL)
def test_filters_are_orthonormal_and_have_their_moments(wavelet):
    low, high = map(np.array, wavelet_filters(wavelet)[:2])
    for shift in range(0, len(low), 2):
        for a, b, value in ((low, low, shift == 0), (high, high, shift == 0), (low, high, 0)):
            assert abs(a[shift:] @ b[: len(b) - shift] - value) < 1e-15 * len(low)
    order = 1 if wavelet == "haar" else int(wavelet.lstrip("dbsymcoif"))
    n = (np.arange(len(low)) - len(low) / 2) / len(low)
    for moment in range(min(2 * order if "coif" in wavelet else order, 8)):
        assert abs(high @ n**moment) < 1e-15 * len(low)


@pytest.mark.parametrize("wavelet", wavelet_names()[-30:])
def test_biorthogonal_filters_reconstruct(wavelet):
    """Without an alias, and late by N - 1: PyWavelets' own are off by up to 2e-12."""
    filters = wavelet_filters(wavelet)
    dec_lo, dec_hi, rec_lo, rec_hi = map(np.array, filters)
    signs = (-1.0) ** np.arange(len(dec_lo))
    both = np.convolve(dec_lo, rec_lo) + np.convolve(dec_hi, rec_hi)
    alias = np.convolve(signs * dec_lo, rec_lo) + np.convolve(signs * dec_hi, rec_hi)
    np.testing.assert_allclose(both, 2 * (np.arange(len(both)) == len(dec_lo) - 1), rtol=0, atol=1e-15)
    np.testing.assert_allclose(alias, 0, rtol=0, atol=1e-15)
    for taps in (dec_lo, rec_lo):
        np.testing.assert_allclose(np.trim_zeros(taps), np.trim_zeros(taps)[::-1], rtol=0, atol=1e-16)


@pytest.mark.parametrize("wavelet", ["bior2.2", "rbio4.4"])
def test_a_biorthogonal_wavelet_has_no_angles(wavelet):
    with pytest.raises(ValueError, match="is biorthogonal"):
        wavelet_angles(wavelet)


@pytest.mark.parametrize("wavelet", ORTHONORMAL)
def test_angles_give_the_filters_back(wavelet):
    angles = wavelet_angles(wavelet)
    filters = wavelet_filters(wavelet)
    np.testing.assert_allclose(lattice(angles), [filters.dec_lo, filters.dec_hi], rtol=0, atol=1e-14)
    turns = (math.fsum(angles) - math.pi / 4) / (2 * math.pi)  # a vanishing moment
    assert abs(turns - round(turns)) < 1e-14


def test_angles_of_haar_and_db2():
    assert wavelet_angles("haar") == pytest.approx([math.pi / 4])
    assert wavelet_angles("db2") == pytest.approx([-math.pi / 3, 7 * math.pi / 12])


def test_a_filter_that_ends_in_zeros_has_angles():
    half = math.sqrt(0.5)
    for taps in ([half, half, 0, 0], [0, 0, half, half, 0, 0], [0, 0, half, half], [1.0, 0, 0, 0], [0, 1.0]):
        np.testing.assert_allclose(lattice(lattice_angles(taps))[0], taps, rtol=0, atol=1e-15)


@pytest.mark.parametrize("taps", [[0.5, 0.5], [0.6, 0.2, 0.6, 0.4], pywt.Wavelet("db30").dec_lo])
def test_what_is_not_orthonormal_to_all_its_digits_has_no_angles(taps):
    with pytest.raises(ValueError, match="differs from them by"):
        lattice_angles(taps)


def test_an_odd_number_of_taps_is_refused():
    with pytest.raises(ValueError, match="even number of taps"):
        lattice_angles([0.3, 0.9, 0.3])


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("Haar", "haar"),
        ("db39", "db38"),
        ("symm4", "sym4"),
        ("coiff2", "coif2"),
        ("db0", "db1"),
        ("bior2.3", "bior2.4"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(name, nearest):
    for function in (wavelet_filters, wavelet_angles):
        with pytest.raises(
            ValueError, match=rf"unknown wavelet '{name}'; the nearest names: .*\b{nearest}\b"
        ):
            function(name)
    with pytest.raises(TypeError, match="must be a name"):
        wavelet_filters(4)


def test_a_decimal_context_of_the_caller_changes_nothing():
    expected = wavelet_angles("db10")
    with decimal.localcontext(decimal.Context(prec=3, traps=[decimal.Inexact])):
        wavelet_angles.cache_clear()
        assert wavelet_angles.__wrapped__("db10") == expected


def test_a_default_device_and_dtype_of_the_caller_change_nothing():
    expected = wavelet_filters("db9")
    wavelets._low_passes.cache_clear()
    torch.set_default_dtype(torch.float16)
    try:
        with torch.device("meta"):
            assert wavelet_filters("db9") == expected
    finally:
        torch.set_default_dtype(torch.float32)


def test_linear_systems_need_pivots():
    one = decimal.Decimal(1)
    assert solve([[0 * one, one], [one, one]], [one, 3 * one]) == [2, 1]


def asymmetry(zeros):
    """The mean square distance of the phase of prod (1 - z e^-iw) from the line through its ends."""
    w = np.pi * np.arange(1, 512) / 512
    phase = sum(np.unwrap(np.angle(1 - z * np.exp(-1j * w))) for z in zeros)
    phase = phase - np.round(phase[0] / np.pi) * np.pi
    outside = sum(abs(z) > 1 for z in zeros)
    return np.mean((phase + outside * w) ** 2)


@pytest.mark.parametrize("moments", range(4, 11))
def test_symlets_are_least_asymmetric(moments):
    inside = [complex(z.re, z.im) for z in exactly(_inside)(moments) if z.im >= 0]
    groups = [[z] if z.imag == 0 else [z, z.conjugate()] for z in sorted(inside, key=abs)]
    found = {}
    for choice in itertools.product("01", repeat=len(groups)):
        zeros = [1 / z if out == "1" else z for group, out in zip(groups, choice, strict=True) for z in group]
        found["".join(choice)] = asymmetry(zeros)
    assert found[_OUTSIDE[moments]] < 1.001 * min(found.values())
    assert sorted(found.values())[2] > 1.01 * min(found.values())  # all but the mirror image are worse
