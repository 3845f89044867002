"""The undecimated bank: bands that add up to the signal, whatever the filters, and gains that start as the identity."""

import numpy as np
import pytest
import pywt
import torch
from hypothesis import given
from hypothesis import strategies as st

from dsptorch import UndecimatedBands, UndecimatedBank, insert
from dsptorch.functional import undecimated
from dsptorch.layers import FixedFilter, fold_layer
from dsptorch.testing import assert_close, assert_same
from tests.layers.table import WIDTH, scattered, signal

SIZES = st.tuples(st.integers(1, 4), st.integers(2, 4))


def check_sum(layer, x):
    assert_close(sum(layer.split(layer(x))), x)


@given(SIZES, st.integers(0, 5))
def test_the_bands_add_up_to_the_signal_whatever_the_filters(sizes, seed):
    layer = scattered(UndecimatedBands(WIDTH, *sizes), seed)
    check_sum(layer, signal(time=25, seed=seed))
    assert (layer.delay, layer.period, layer.lookahead) == (0, 1, 0)


def test_a_band_that_is_left_out_is_caught():
    layer = scattered(UndecimatedBands(WIDTH, 2))
    layer.split = lambda y: UndecimatedBands.split(layer, y)[:-1]
    with pytest.raises(AssertionError):
        check_sum(layer, signal())


@given(SIZES, st.integers(0, 5))
def test_the_bank_weighs_and_adds_the_bands(sizes, seed):
    bank = scattered(UndecimatedBank(WIDTH, *sizes), seed)
    bands = UndecimatedBands(WIDTH, *sizes).double()
    bands.weight.data.copy_(bank.weight)
    x = signal(time=25, seed=seed)
    parts = bands.split(bands(x))
    assert_close(bank(x), sum(gain * part for gain, part in zip(bank.gain, parts, strict=True)))
    assert_close(undecimated(bank.weight, bank.gain)(x), bank(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_bank_starts_as_the_exact_identity(dtype):
    for levels, kernel_size in ((1, 2), (4, 2), (3, 5)):
        bank, x = UndecimatedBank(WIDTH, levels, kernel_size).to(dtype), signal(time=60, dtype=dtype)
        assert_same(bank(x), x)
        with torch.no_grad():
            bank.weight.add_(0.3)
        assert_same(bank(x), x)  # whatever the filters


def test_a_bank_with_a_gain_is_no_identity():
    bank = UndecimatedBank(WIDTH)
    with torch.no_grad():
        bank.gain[0] = 1.01
    with pytest.raises(AssertionError):
        assert_same(bank(signal(dtype=torch.float32)), signal(dtype=torch.float32))


@pytest.mark.parametrize(("levels", "kernel_size", "alone"), [(3, 2, True), (3, 3, False)])
def test_it_folds_into_one_filter(levels, kernel_size, alone):
    bank, x = scattered(UndecimatedBank(WIDTH, levels, kernel_size)), signal(time=40)
    one = bank.filter().folded()
    assert (one.period, one.taps) == (1, bank.receptive_field)
    assert_close(one(x), bank(x))
    folded = fold_layer(bank)
    assert isinstance(folded, FixedFilter) == alone  # where a cascade costs less, it stays one
    assert_close(folded(x), bank(x))


def test_haar_bands_are_those_of_the_stationary_wavelet_transform():
    """PyWavelets' interior, which is normed otherwise and stands where the causal filters will have come."""
    x, levels = signal(1, 64, width=1), 3
    bands = UndecimatedBands(1, levels).double()
    coarse = bands.split(bands(x))[0].detach().flatten().numpy()
    cA = pywt.swt(x.flatten().numpy(), "haar", level=levels, trim_approx=True)[0] / 2 ** (levels / 2)
    reach = bands.receptive_field - 1
    np.testing.assert_allclose(coarse[reach:], cA[:-reach], rtol=0, atol=1e-12)


def test_filters_pass_dc_at_first():
    for kernel_size in (2, 3, 4):
        layer = UndecimatedBands(1, 3, kernel_size)
        bands = layer.split(layer(torch.ones(1, 40, 1)))
        for band, expected in zip(bands, (1.0, 0.0, 0.0, 0.0), strict=True):
            assert band[0, -1].item() == pytest.approx(expected, abs=1e-6)


def test_it_goes_into_a_model_but_its_bands_do_not():
    model = torch.nn.Sequential(torch.nn.Linear(WIDTH, WIDTH), torch.nn.GELU())
    x = signal(dtype=torch.float32)
    before = model(x)
    insert(model, "0", lambda block: UndecimatedBank(WIDTH))
    assert_close(model(x), before)
    with pytest.raises(ValueError, match="width"):
        insert(model, "1", lambda block: UndecimatedBands(WIDTH))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: UndecimatedBank(4, 0), "levels must be at least 1, got 0"),
        (lambda: UndecimatedBank(4, 2, 1), "kernel_size must be at least 2, got 1"),
        (lambda: UndecimatedBands(0, 2), "d_model must be at least 1, got 0"),
        (lambda: UndecimatedBands(4, 17), r"65,536 samples at most, got levels=17.*131,072; take fewer"),
        (lambda: undecimated(torch.ones(2, 2, 1), torch.ones(2, 1)), r"gain of shape \(levels \+ 1"),
        (lambda: undecimated(torch.ones(2, 2), torch.ones(3, 1)), r"taps must be of shape"),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
