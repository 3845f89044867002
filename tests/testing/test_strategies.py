"""What the strategies draw has the property that they promise, and shrinks to something a person can read."""

import subprocess
import sys
from fractions import Fraction
from math import ceil

import numpy as np
import pytest
import scipy.signal
import torch
import torch.nn.functional as F
from hypothesis import find, given, settings
from hypothesis import strategies as st

from dsptorch import (
    Decimate,
    Layer,
)
from dsptorch.testing import (
    assert_bounded,
    assert_close,
    assert_energy_preserving,
    assert_perfect_reconstruction,
    assert_receptive_field,
    assert_shift_covariant,
    assert_streaming_equals_batch,
    assert_unit_dc,
)
from dsptorch.testing import strategies as dst
from tests.strategies import holds

# What they draw


@given(dst.shapes(max_time=5, min_batch=1), dst.dtypes(), st.data())
def test_signals_have_the_shape_and_dtype(shape, dtype, data):
    x = data.draw(dst.signals(shape, dtype))
    assert x.shape == shape
    assert x.dtype == dtype
    assert x.isfinite().all()
    assert shape[0] >= 1


@pytest.mark.parametrize(
    "kind",
    [
        lambda x: not x.any(),
        lambda x: (x != 0).sum() == 1,
        lambda x: bool((x[:, 1:] == x[:, :1]).all()) and x.abs().min() > 0,
        lambda x: x[0, 1, 0] == -x[0, 0, 0] != 0,  # Nyquist
        lambda x: not x[:, :6].any() and bool((x[:, 6:] != 0).all()),  # a long silence
        lambda x: bool((x != x.round()).all()),
    ],
    ids=["silence", "impulse", "constant", "tone", "late", "noise"],
)
def test_every_kind_of_signal_is_drawn(kind):
    find(dst.signals((1, 8, 2)), kind, settings=settings(max_examples=2000))


@given(st.integers(0, 9), st.data())
def test_chunks_add_up(total, data):
    lengths = data.draw(dst.chunkings(total))
    assert sum(lengths) == total
    assert min(lengths) >= 0
    assert len(lengths) <= 6


@given(dst.unit_dc_taps(width=2))
def test_unit_dc_taps_pass_dc(taps):
    assert torch.equal(taps.sum(0), torch.ones(2, dtype=torch.float64))
    conv = filtered_by(taps[:, 0].numpy(), np.ones(1))
    assert_unit_dc(conv, torch.zeros(1, len(taps) + 2, 1, dtype=torch.float64), settle=len(taps) - 1)


def filtered_by(b, a):
    """scipy's filter, as a function of signals."""
    return lambda x: torch.from_numpy(scipy.signal.lfilter(b, a, x.numpy(), axis=1))


@given(dst.stable_filters())
def test_stable_filters_are_stable(coefficients):
    b, a = (c.numpy() for c in coefficients)
    poles = np.roots(a)
    assert np.all(np.abs(poles) < 0.9 + 1e-3)  # a double root is known to its square root
    response = scipy.signal.lfilter(b, a, np.r_[1.0, np.zeros(600)])
    gain = assert_bounded(
        filtered_by(b, a), torch.zeros(1, 60, 1, dtype=torch.float64), np.abs(response).sum() + 1e-6
    )
    assert gain >= np.abs(response[:60]).sum() - 1e-6


def bank_of(h):
    """Analysis by correlation and decimation, synthesis by its transpose: circular, so nothing is lost at the ends."""
    bands = len(h)

    def matrix(time):
        rows = F.pad(h, (0, time - h.shape[1]))
        return torch.cat([rows.roll(bands * n, 1) for n in range(time // bands)])

    return lambda x: torch.einsum("nt,btc->bnc", matrix(x.shape[1]), x), lambda y: torch.einsum(
        "nt,bnc->btc", matrix(y.shape[1]), y
    )


@given(dst.paraunitary_filters(), st.integers(0, 9))
def test_paraunitary_filters_keep_energy_and_reconstruct(h, seed):
    bands, taps = h.shape
    assert taps % bands == 0
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 2 * taps, 1, dtype=torch.float64, generator=generator)
    analysis, synthesis = bank_of(h)
    assert_perfect_reconstruction((analysis, synthesis), x)
    assert_energy_preserving(analysis, x, tail=0)


def test_a_filter_that_is_not_paraunitary_is_caught():
    def check(h):
        assert_energy_preserving(bank_of(h)[0], torch.ones(1, 2 * h.shape[1], 1, dtype=torch.float64), tail=0)

    check(find(dst.paraunitary_filters(2), lambda h: bool((h != 0).all())))
    with pytest.raises(AssertionError, match="energy"):
        check(1.01 * find(dst.paraunitary_filters(2), lambda h: bool((h != 0).all())))


@given(dst.hyperparameters(), dst.hyperparameters(integer=True))
def test_hyperparameters_are_inside_their_bounds(real, whole):
    for h in (real, whole):
        assert h.low <= h.value.item() <= h.high
    assert whole.integer
    assert not real.integer


# The layers, all of them: what `check_layer` cannot know is drawn here, arguments and combinations


@pytest.mark.parametrize("rate", [1, None])
def test_drawn_layers_stream(rate):
    def check(case):
        layer, x = case
        if x.shape[0] and x.shape[1] > 1:
            assert_streaming_equals_batch(layer, x, chunkings=1, gradients=False)

    holds(check, dst.layers_with_inputs(rate=rate))


@pytest.mark.parametrize("rate", [1, None])
def test_drawn_layers_say_what_is_so(rate):
    def check(layer, seed):
        field, period = layer.receptive_field, layer.period
        generator = torch.Generator().manual_seed(seed)
        if field is None or field > 60 or (period or 1) > 24:
            return
        x = torch.randn(1, field + 2 * (period or 1) + 3, 4, dtype=torch.float64, generator=generator)
        assert_receptive_field(layer, x, field, lookahead=layer.lookahead)
        if period is not None:
            assert_shift_covariant(layer, x, period, settle=field - 1)

    holds(lambda case: check(*case), st.tuples(dst.layers(causal=None, rate=rate), st.integers(0, 9)))


@given(dst.layers_with_inputs(causal=None), st.data())
def test_layers_keep_shape_and_print(case, data):
    layer, x = case
    assert isinstance(layer, Layer)
    assert layer(x).shape == x.shape
    assert "object at" not in repr(layer)


@given(dst.layers_with_inputs(causal=None, rate=None))
def test_layers_of_any_rate_keep_the_law_of_lengths(case):
    layer, x = case
    assert layer(x).shape == (x.shape[0], ceil(x.shape[1] * layer.rate), layer.d_out)


@given(dst.layers(causal=None))
def test_the_rate_is_1_unless_another_is_asked_for(layer):
    assert layer.rate == 1


def test_refuses_rates_that_it_does_not_draw():
    for arguments, says in (
        ({"rate": 2}, "rate must be 1 or None"),
        ({"kinds": [Decimate]}, "need rate=None"),
    ):
        with pytest.raises(ValueError, match=says):
            find(dst.layers(**arguments), lambda layer: True)


# What they shrink to


@pytest.mark.parametrize(
    ("strategy", "fails", "expected"),
    [
        (dst.dtypes(), lambda d: d != torch.float64, torch.float32),
        (dst.shapes(), lambda s: s[0] * s[1] * s[2] > 0, (1, 1, 1)),
        (dst.chunkings(9), lambda c: True, [9]),
        (dst.chunkings(9), lambda c: 0 in c, [0, 9]),
        (dst.chunkings(9), lambda c: 1 in c, [1, 8]),
        (dst.signals((1, 3, 1)), lambda x: True, [0, 0, 0]),
        (dst.signals((1, 3, 1)), lambda x: x.any(), [1, 0, 0]),
        (dst.signals((1, 3, 1)), lambda x: x.sum() > 5, [2, 2, 2]),
        (dst.fir_taps(), lambda h: len(h) > 2, [0, 0, 0]),
        (dst.fir_taps(), lambda h: h.min() < 0, [-0.125]),
        (dst.unit_dc_taps(), lambda h: len(h) > 1 and h[1] != 0, [0.875, 0.125]),
    ],
)
def test_shrinks(strategy, fails, expected):
    found = find(strategy, fails)
    assert (found.flatten().tolist() if isinstance(found, torch.Tensor) else found) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fails", "printed"),
    [
        (lambda layer: True, "Delay(4, delay=0)"),
        (lambda layer: layer.lookahead, "FIR(4, kernel_size=2, init=identity, causal=False)"),
        (
            lambda layer: type(layer).__name__ == "Residual",
            "Residual(\n  (layers): ModuleList(\n    (0-1): 2 x Delay(4, delay=0)",
        ),
    ],
)
def test_layers_shrink(fails, printed):
    assert repr(find(dst.layers(causal=None), fails)).startswith(printed)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate", "printed"),
    [
        (Fraction(1, 3), "Decimate(4, 3, kernel_size=1, init=first)"),
        (Fraction(2), "Upsample(4, 2, kernel_size=2, init=hold)"),
        (Fraction(2, 3), "ResamplePoly(4, up=2, down=3, window=('kaiser', 5.0))"),
    ],
)
def test_layers_of_another_rate_shrink(rate, printed):
    assert repr(find(dst.layers(rate=None, depth=0), lambda layer: layer.rate == rate)) == printed


def test_a_failing_pair_of_chunks_is_two_chunks():
    """A layer that forgets between chunks is shown by the shortest signal and the simplest cut."""

    def forgets(case):
        x, lengths = case
        held = torch.cat([F.pad(c, (0, 0, 1, 0))[:, : c.shape[1]] for c in x.split(lengths, 1)], 1)
        return not torch.equal(held, F.pad(x, (0, 0, 1, 0))[:, : x.shape[1]])

    cases = st.integers(1, 8).flatmap(lambda n: st.tuples(dst.signals((1, n, 1)), dst.chunkings(n)))
    x, lengths = find(cases, forgets)
    assert lengths == [1, 1]
    assert x.flatten().tolist() in ([1, 0], [1, 1])


# Without the extras


@pytest.mark.parametrize(
    ("module", "code"),
    [
        ("hypothesis", "import dsptorch.testing.strategies"),
        (
            "pytest",
            "import dsptorch; from dsptorch.testing import contract_tests; contract_tests(lambda: dsptorch.FIR(2))",
        ),
    ],
)
def test_a_missing_extra_is_named(module, code):
    blocked = f"import sys; sys.modules[{module!r}] = None; import dsptorch.testing\n{code}"
    result = subprocess.run([sys.executable, "-c", blocked], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert f"needs {module}; pip install 'dsptorch[testing]'" in result.stderr.strip().splitlines()[-1]


def test_the_checks_work_without_the_extras():
    code = (
        "import sys; sys.modules['hypothesis'] = sys.modules['pytest'] = None\n"
        "import dsptorch; from dsptorch.testing import check_layer\n"
        "print(check_layer(dsptorch.FIR(2), skip=['compiles', 'exports'])['streaming'])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "ok\n"


def test_close_is_close_to_rounding():
    assert_close(torch.ones(2), torch.ones(2, dtype=torch.float64) * (1 + 1e-5))
    for actual, what in (
        (torch.tensor([1.0, 1.1]), "index 1: 1.1 instead of 1"),
        (torch.ones(3), r"shape \(3,\)"),
    ):
        with pytest.raises(AssertionError, match=what):
            assert_close(actual, torch.ones(2))
    inf, nan = torch.tensor([torch.inf]), torch.tensor([torch.nan])
    assert_close(inf, inf)
    assert_close(nan, nan)
    for a, b in ((inf, -inf), (nan, inf), (inf, torch.ones(1)), (torch.ones(1), nan)):
        with pytest.raises(AssertionError, match="differs"):
            assert_close(a, b)
