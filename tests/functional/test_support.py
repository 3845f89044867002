"""What a filter says of itself (period, lookahead, memory, taps), and what it does in time."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from hypothesis import strategies as st

from dsptorch import PeriodicFIR
from dsptorch.functional import fold as folding
from tests.strategies import Expression, expressions, fails, holds, signals
from tests.tolerances import assert_close

FORMS = {"chosen": None, "folded": True, "cascade": False}


def _fir(taps, offset=0):
    return PeriodicFIR.fir(torch.tensor(taps, dtype=torch.float64), offset)


def check_shift(e: Expression, x, shift=None):
    """Shifted input, shifted output."""
    f = e.build()
    shift = f.period if shift is None else shift
    assert torch.equal(f(F.pad(x, (0, 0, shift, 0)))[:, shift:], f(x))


def test_commutes_with_shifts_by_its_period_alone():
    holds(check_shift, expressions(), signals())
    fails(lambda e, x: check_shift(e, x, 1), expressions(), signals())
    for shift in (1, 2, 4, 5):
        with pytest.raises(AssertionError):
            check_shift(_Built(PeriodicFIR.hold(3)), torch.arange(9.0).reshape(1, 9, 1), shift)


@dataclasses.dataclass
class _Built:
    f: PeriodicFIR

    def build(self):
        return self.f


def test_causal_filters_do_not_know_the_length():
    def check(e, x, n):
        f = e.build()
        for fold in FORMS.values():
            assert torch.equal(f(x[:, :n], fold=fold), f(x, fold=fold)[:, :n])

    cases = signals(min_time=4, min_batch=1), st.integers(0, 14)
    holds(check, expressions(causal=True), *cases)
    fails(check, expressions(), *cases)


def check_blind(e: Expression, x, ahead=0):
    """y[t] does not change, in any bit, when everything after t + ahead does."""
    f = e.build()
    y = f(x)
    for cut in range(x.shape[1]):
        other = x.clone()
        other[:, cut:] = 1e6 * (1 + other[:, cut:].abs())
        for fold in FORMS.values():
            assert torch.equal(f(other, fold=fold)[:, : max(0, cut - ahead)], y[:, : max(0, cut - ahead)])


def test_no_output_sees_past_the_lookahead():
    holds(check_blind, expressions(causal=True), signals(min_time=7))
    holds(lambda e, x: check_blind(e, x, e.build().lookahead), expressions(), signals(min_time=7))
    fails(check_blind, expressions(), signals(min_time=7, min_batch=1))


def test_a_leak_at_one_phase_of_sixteen_is_caught():
    taps = torch.zeros(16, 2, 1, dtype=torch.float64)
    taps[:, 1] = 1
    taps[11, 0] = 1e-4
    x = torch.ones(1, 40, 1, dtype=torch.float64)
    with pytest.raises(AssertionError):
        check_blind(_Built(PeriodicFIR.fir(taps, 1)), x)
    taps[11, 0] = 0
    check_blind(_Built(PeriodicFIR.fir(taps, 1)), x)


def _used(e: Expression):
    """The lags of the matrix that are not zero at some phase."""
    far = e.reach() + 1
    period = e.build().period
    matrix = e.matrix(-far, period + far)[:, far : far + period]
    _, rows, columns = matrix.nonzero()
    return {int(row + far - column) for row, column in zip(rows, columns, strict=True)}


def test_what_it_says_about_itself_is_a_bound():
    def check(e, slack):
        f, lags = e.build(), _used(e)
        assert max([0, *(-lag for lag in lags)]) <= f.lookahead - slack
        assert max([0, *lags]) <= f.memory - slack
        assert len(lags) <= f.taps - slack
        assert f.receptive_field == f.lookahead + 1 + f.memory

    holds(lambda e: check(e, 0), expressions())
    fails(lambda e: check(e, 1), expressions())


def test_what_it_says_is_attained_where_nothing_cancels():
    def check(e, period):
        f, lags = e.build(), _used(e)
        assert max([0, *(-lag for lag in lags)]) == f.lookahead
        assert max([0, *lags]) == f.memory
        assert len(lags) == f.taps

    holds(lambda e: check(e, None), expressions(positive=True))
    difference = PeriodicFIR.hold(2) - PeriodicFIR.hold(
        2
    )  # its taps are zero, which the structure cannot know
    assert difference.memory == 1
    assert not difference(torch.ones(1, 5, 1)).any()


def test_structural_zeros_are_trimmed():
    assert (PeriodicFIR.hold(2) @ PeriodicFIR.hold(2)).taps == 2
    assert (PeriodicFIR.hold(2) @ PeriodicFIR.delay(-1)).lookahead == 1
    # The odd samples of the past are thrown away: only lags 0 and 1 of the later hold are left of 4.
    assert (PeriodicFIR.hold(4) @ PeriodicFIR.hold(2)).taps == 4
    assert (PeriodicFIR.delay(-3) @ PeriodicFIR.delay(3)).taps == 1
    assert (PeriodicFIR.delay(-3) @ PeriodicFIR.delay(3)).lookahead == 0


def _pyramid(factor, levels, numtaps=4):
    low = _fir([1.0] * numtaps)
    identity = band = PeriodicFIR.identity()
    for _ in range(levels):
        coarse = low @ band.at_rate(factor) @ PeriodicFIR.hold(factor) @ low
        band = coarse + 0.7 * (low @ (identity - coarse))
    return 0.4 * identity + 0.6 * band


@pytest.mark.parametrize(
    ("factor", "levels", "taps", "period"), [(2, 1, 11, 2), (2, 2, 31, 4), (2, 3, 71, 8), (8, 3, 1169, 512)]
)
def test_taps_and_phases_of_the_block(factor, levels, taps, period, monkeypatch):
    monkeypatch.setattr(folding, "_weight", None)  # known from the structure alone: nothing is folded
    block = _pyramid(factor, levels)
    assert (block.taps, block.period, block.lookahead) == (taps, period, 0)


def test_a_block_too_long_to_fold_runs_as_a_cascade():
    assert _pyramid(2, 1).plan.folds
    assert not _pyramid(8, 3).plan.folds
    x = torch.randn(1, 600, 1, dtype=torch.float64)
    assert_close(_pyramid(4, 2)(x, fold=True), _pyramid(4, 2)(x, fold=False))
    assert _pyramid(8, 3)(x).shape == x.shape


def test_channels():
    wide = PeriodicFIR.fir(torch.ones(2, 3))
    assert PeriodicFIR.identity().channels is None
    assert (PeriodicFIR.hold(2) @ wide).channels == 3
    assert (PeriodicFIR.identity() * torch.ones(4)).channels == 4
