"""The wavelet transforms of whole signals are PyWavelets', for any length, and have exact inverses."""

import itertools

import numpy as np
import pytest
import pywt
import torch
from hypothesis import given
from hypothesis import strategies as st

from dsptorch.functional import WaveletFilters, dwt, idwt, iswt, swt, wavedec, wavelet_filters, waverec
from dsptorch.functional.extension import MODES, extend

WAVELETS = ["haar", "db2", "db5", "coif2", "bior2.4", "rbio3.3"]  # whose tables have all digits
LENGTHS = [1, 2, 3, 7, 12, 33]


def signal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def close(mine, theirs, scale: float = 1.0):
    np.testing.assert_allclose(mine.numpy(), theirs, rtol=0, atol=1e-12 * max(1.0, scale))


def reflects(mode: str, time: int) -> bool:
    """Whether a mode needs a second sample."""
    return time > 1 or "reflect" not in mode


def check_dwt(ours, wavelet: str, mode: str, time: int) -> None:
    x = signal(2, time, 3)
    for mine, theirs in zip(ours(x, wavelet, mode), pywt.dwt(x.numpy(), wavelet, mode, axis=1), strict=True):
        close(mine, theirs, scale=np.abs(theirs).max())


@pytest.mark.parametrize("mode", pywt.Modes.modes)
@pytest.mark.parametrize("wavelet", WAVELETS)
def test_dwt_is_that_of_pywavelets(wavelet, mode):
    assert set(pywt.Modes.modes) == set(MODES)
    for time in LENGTHS:
        if reflects(mode, time):
            check_dwt(dwt, wavelet, mode, time)


def test_the_even_samples_in_the_place_of_the_odd_ones_are_caught():
    def even(x, wavelet, mode):
        return dwt(extend(x, 1, 0, mode)[:, :-1], wavelet, mode)

    with pytest.raises(AssertionError):
        check_dwt(even, "db2", "zero", 12)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("wavelet", WAVELETS)
def test_idwt_is_that_of_pywavelets(wavelet, mode):
    """Of coefficients that no signal has, too."""
    for frames in (6, 9):
        low, high = signal(2, frames, 3), signal(2, frames, 3, seed=1)
        close(idwt(low, high, wavelet, mode), pywt.idwt(low.numpy(), high.numpy(), wavelet, mode, axis=1))
        close(idwt(None, high, wavelet, mode), pywt.idwt(None, high.numpy(), wavelet, mode, axis=1))
        close(idwt(low, None, wavelet, mode), pywt.idwt(low.numpy(), None, wavelet, mode, axis=1))


@pytest.mark.filterwarnings("ignore:Level value")
@pytest.mark.parametrize("mode", MODES)
def test_several_levels_are_those_of_pywavelets(mode):
    for wavelet, time, level in itertools.product(("db2", "bior2.4"), (7, 33, 64), (None, 0, 1, 3)):
        x = signal(2, time, 2)
        coeffs, theirs = (
            wavedec(x, wavelet, mode, level),
            pywt.wavedec(x.numpy(), wavelet, mode, level, axis=1),
        )
        for mine, its in zip(coeffs, theirs, strict=True):
            close(mine, its, scale=np.abs(its).max())
        close(waverec(coeffs, wavelet, mode), pywt.waverec(theirs, wavelet, mode, axis=1))


@given(
    st.sampled_from([*WAVELETS, "sym8", "bior6.8", "db12"]),
    st.sampled_from(MODES),
    st.integers(1, 40),
    st.integers(0, 4),
)
def test_a_signal_of_any_length_comes_back(wavelet, mode, time, level):
    x = signal(1, time, 2)
    lengths = [time]
    for _ in range(level):
        lengths.append(
            (lengths[-1] + (1 if mode == "periodization" else len(wavelet_filters(wavelet).dec_lo) - 1)) // 2
        )
    if all(reflects(mode, n) for n in lengths[: max(level, 1)]):
        coeffs = wavedec(x, wavelet, mode, level)
        scale = max(c.abs().max().item() for c in coeffs)  # "smooth" grows outside of a short signal
        close(waverec(coeffs, wavelet, mode, length=time), x.numpy(), scale)


def test_coefficients_may_be_left_out():
    x = signal(1, 21, 1)
    low, *details = wavedec(x, "db2", level=3)
    zeros = [torch.zeros_like(detail) for detail in details]
    for mine, explicit in (
        ([low, None, details[1], None], [low, zeros[0], details[1], zeros[2]]),
        ([None, *details], [torch.zeros_like(low), *details]),
    ):
        close(waverec(mine, "db2", length=21), waverec(explicit, "db2", length=21).numpy())


def test_gradients_reach_the_signal_and_the_filters():
    filters = WaveletFilters(
        *(torch.tensor(taps).double().requires_grad_() for taps in wavelet_filters("db2"))
    )
    x = signal(1, 7, 1).requires_grad_()

    def both_ways(x, *taps):
        wavelet = WaveletFilters(*taps)
        return waverec(wavedec(x, wavelet, "reflect", 2), wavelet, "reflect", 7), *swt(x, wavelet, 1)[0]

    assert torch.autograd.gradcheck(both_ways, (x, *filters), fast_mode=True)


@pytest.mark.filterwarnings("ignore:norm=True, but the wavelet is not orthogonal")
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("wavelet", WAVELETS)
def test_swt_is_that_of_pywavelets(wavelet, norm):
    for time, level in ((2, 1), (12, 2), (16, 3), (40, None)):
        x = signal(2, time, 3)
        coeffs, theirs = (
            swt(x, wavelet, level, norm=norm),
            pywt.swt(x.numpy(), wavelet, level, norm=norm, axis=1),
        )
        for mine, its in zip(itertools.chain(*coeffs), itertools.chain(*theirs), strict=True):
            close(mine, its)
        others = [
            (signal(2, time, 3, seed=2 * j + 1), signal(2, time, 3, seed=2 * j)) for j in range(len(coeffs))
        ]
        close(
            iswt(others, wavelet, norm),
            pywt.iswt([(a.numpy(), d.numpy()) for a, d in others], wavelet, norm, axis=1),
        )
    trimmed = swt(x, wavelet, 2, start_level=1, trim_approx=True)
    theirs = pywt.swt(x.numpy(), wavelet, 2, start_level=1, trim_approx=True, axis=1)
    for mine, its in zip(trimmed, theirs, strict=True):
        close(mine, its)


@given(st.sampled_from([*WAVELETS, "sym8", "db12"]), st.integers(1, 40), st.integers(1, 4), st.booleans())
def test_undecimated_a_signal_of_any_length_comes_back(wavelet, time, level, norm):
    x = signal(1, time, 2)
    close(iswt(swt(x, wavelet, level, norm=norm), wavelet, norm), x.numpy())
    close(iswt(swt(x, wavelet, level, norm=norm, trim_approx=True), wavelet, norm), x.numpy())


def test_a_wrong_scale_of_the_inverse_is_caught():
    x = signal(1, 8, 1)
    with pytest.raises(AssertionError):
        close(iswt(swt(x, "db2", 1, norm=True), "db2"), x.numpy())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: dwt(x, "db2", "symetric"), "unknown mode 'symetric'; did you mean symmetric"),
        (lambda x: dwt(x[:, :1], "db2", "reflect"), "goes on from 2 samples at least, got 1"),
        (lambda x: dwt(x[:, :0], "db2", "constant"), "goes on from 1 samples at least, got 0"),
        (lambda x: dwt(x[0], "db2"), "expects .batch, time, channels."),
        (lambda x: dwt(x, "dbb2"), "unknown wavelet 'dbb2'"),
        (lambda x: dwt(x, WaveletFilters(*[torch.ones(3)] * 4)), "one even length"),
        (lambda x: dwt(x, WaveletFilters(*[torch.ones(2, 2)] * 4)), "one even length"),
        (lambda x: idwt(None, None, "db2"), "got None for both"),
        (lambda x: idwt(x, x[:, 1:], "db2"), "of one shape"),
        (lambda x: idwt(x[:, :1], x[:, :1], "db2"), "makes 2 coefficients at least"),
        (lambda x: idwt(x, x, "db2", length=5), "length must be 9 or 10 with 6 coefficients, got 5"),
        (lambda x: idwt(x, x, "db2", "periodization", length=10), "length must be 11 or 12"),
        (lambda x: wavedec(x, "db2", level=-1), "level must be at least 0"),
        (lambda x: waverec([], "db2"), "got none"),
        (lambda x: waverec([None], "db2"), "got None alone"),
        (lambda x: waverec([x], "db2", length=4), "length must be 5 or 6"),
        (lambda x: waverec(wavedec(x, "db2", level=2), "db2", length=9), "length must be"),
        (lambda x: swt(x, "db2", 0), "level must be at least 1"),
        (lambda x: swt(x[:, :0], "db2", 1), "at least, got 0"),
        (lambda x: iswt([x], "db2"), "got no detail"),
        (lambda x: iswt([x, x[:, 1:]], "db2"), "of one shape"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(signal(1, 6, 2))


def test_coefficients_that_are_no_tensors_are_refused():
    with pytest.raises(TypeError, match="expects a tensor"):
        idwt([1.0], [2.0], "haar")
