"""Several decimation factors at once, weighted: against the definition, folded and as a cascade, in chunks."""

import pytest
import torch
from dsptorch.functional.hold_mix import HoldMix
from hypothesis import strategies as st

from dsptorch.functional import PeriodicFIR, hold_mix, multirate
from tests.oracles import causal_conv
from tests.strategies import chunk_lengths, fails, holds, signals
from tests.tolerances import assert_close, assert_same

FACTORS = st.lists(st.integers(1, 6), min_size=1, max_size=4, unique=True).map(sorted)


def literal_holds(x, factors, weights):
    """Each factor's decimation and hold by indexing."""
    t = torch.arange(x.shape[1])
    return sum(w * x[:, t // s * s] for s, w in zip(factors, weights, strict=True))


def literal_mixed(x, low, recon, detail, factors, weights, mix_ratio, detail_strength):
    """The block, with the coarse band of every factor."""

    def band(x, level):
        if level == len(low):
            return x
        lowpassed, held = causal_conv(x, low[level]), 0
        for s, weight in zip(factors, weights, strict=True):
            held = held + weight * band(lowpassed[:, ::s], level + 1).repeat_interleave(s, 1)[:, : x.shape[1]]
        coarse = causal_conv(held, recon[level])
        return coarse + detail_strength * causal_conv(x - coarse, detail[level])

    return mix_ratio * x + (1 - mix_ratio) * band(x, 0)


@st.composite
def blocks(draw, max_levels=2):
    """(low, recon, detail, factors, weights)."""
    levels, kernel_size = draw(st.integers(1, max_levels)), draw(st.integers(1, 4))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    taps = torch.randn(3, levels, kernel_size, 2, dtype=torch.float64, generator=generator)
    factors = draw(FACTORS.filter(lambda f: levels == 1 or max(f) <= 4))
    return *taps, factors, torch.randn(len(factors), dtype=torch.float64, generator=generator)


def ours(x, low, recon, detail, factors, weights, mix, strength, fold=None, offset=0):
    return multirate(
        low,
        recon,
        detail,
        downsample=factors,
        weights=weights,
        mix_ratio=mix,
        detail_strength=strength,
        offset=offset,
    )(x, fold=fold)


# The mixture of holds


def check_holds(apply, factors, x):
    weights = torch.randn(len(factors), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert_close(apply(x, factors, weights), literal_holds(x, factors, weights))


def mixed(fold):
    return lambda x, factors, weights: PeriodicFIR(HoldMix(factors, weights))(x, fold=fold)


@pytest.mark.parametrize("fold", [True, False])
def test_holds_are_the_definition(fold):
    x = signals(max_time=40)
    holds(lambda *case: check_holds(mixed(fold), *case), FACTORS, x, times=2)
    fails(lambda *case: check_holds(lambda x, f, w: mixed(fold)(x, f, w.flip(0)), *case), FACTORS, x)


def test_with_one_weight_it_is_that_hold():
    x = torch.randn(2, 100, 3)
    for i in range(8):
        weights = torch.eye(8)[i]
        for fold in (True, False):
            assert_same(PeriodicFIR(HoldMix(range(1, 9), weights))(x, fold=fold), PeriodicFIR.hold(i + 1)(x))


def check_starts(start_of, factors, x):
    """From any time on, another one in each row."""
    weights = torch.randn(len(factors), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    block = PeriodicFIR(HoldMix(factors, weights))
    block.node.folds = False
    starts = torch.tensor([5, 10**12 + 3])
    _, state = block.step(x[:, :0])
    y, _ = block.step(x, state._replace(position=start_of(starts)))
    period = block.period
    for row, start in enumerate((starts % period).tolist()):
        padded = torch.nn.functional.pad(x[row : row + 1], (0, 0, start, 0))
        assert_close(y[row : row + 1], literal_holds(padded, factors, weights)[:, start:])


def test_runs_from_any_time_on():
    cases = FACTORS, signals(min_batch=2, min_time=1)
    holds(lambda *case: check_starts(lambda start: start, *case), *cases)
    fails(lambda *case: check_starts(lambda start: start + 1, *case), *cases)
    fails(lambda *case: check_starts(lambda start: start[:1].expand(2), *case), *cases)


def test_refuses_as_many_weights_as_there_are_not():
    with pytest.raises(ValueError, match=r"one a factor, \(2,\), got shape \(3,\)"):
        HoldMix((1, 2), torch.ones(3))
    taps = torch.rand(1, 2, 3)
    with pytest.raises(ValueError, match=r"several factors need weights, got downsample=\(2, 3\)"):
        multirate(taps, taps, taps, downsample=(2, 3), mix_ratio=0.4, detail_strength=0.75)
    with pytest.raises(ValueError, match="weights mix several factors, got downsample=2"):
        multirate(taps, taps, taps, downsample=2, weights=torch.ones(1), mix_ratio=0.4, detail_strength=0.75)


# The block

CASES = blocks(), signals(max_time=40, min_batch=1, min_time=1), st.floats(0, 1), st.floats(-1, 2)


def check_block(compute, block, x, mix, strength):
    assert_close(compute(x, *block, mix, strength), literal_mixed(x, *block, mix, strength))


@pytest.mark.parametrize("fold", [None, True, False])
def test_the_block_mixes_the_coarse_bands(fold):
    holds(lambda *case: check_block(lambda *args: ours(*args, fold=fold), *case), *CASES)


@pytest.mark.parametrize(
    "broken",
    [
        lambda x, low, recon, detail, f, w, m, a: ours(x, recon, low, detail, f, w, m, a),
        lambda x, low, recon, detail, f, w, m, a: ours(x, low, recon, detail, f, w, a, m),
        lambda x, low, recon, detail, f, w, m, a: ours(x, low, recon, detail, f, w.flip(0), m, a),
        lambda x, low, recon, detail, f, w, m, a: ours(x, low, recon, detail, f, w, m, a, offset=1),
    ],
    ids=["low and recon swapped", "mix and strength swapped", "weights reversed", "looks ahead"],
)
def test_the_mixture_catches(broken):
    fails(lambda *case: check_block(broken, *case), *CASES)


def test_one_factor_of_several_is_the_plain_block():
    low, recon, detail = torch.randn(3, 2, 4, 2, dtype=torch.float64)
    x = torch.randn(2, 60, 2, dtype=torch.float64)
    for offset in (0, 2):
        for i, factor in enumerate((2, 3, 4)):
            plain = multirate(
                low, recon, detail, downsample=factor, mix_ratio=0.3, detail_strength=0.6, offset=offset
            )
            weights = torch.eye(3, dtype=torch.float64)[i]
            assert_close(ours(x, low, recon, detail, (2, 3, 4), weights, 0.3, 0.6, offset=offset), plain(x))


def check_chunks(lengths_of, block, lengths, mix):
    """As a cascade, for that has a path of its own for rows at any time."""
    low, recon, detail, factors, weights = block
    x = torch.randn(2, 25, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    layer = multirate(
        low, recon, detail, downsample=factors, weights=weights, mix_ratio=mix, detail_strength=0.6
    )
    layer.node.folds = False
    outputs, state = [], None
    for chunk in x.split(lengths_of(lengths), 1):
        y, state = layer.step(chunk, state)
        outputs.append(y)
    assert_close(torch.cat(outputs, 1), layer(x))


def test_streams_as_it_runs(monkeypatch):
    cases = blocks(), chunk_lengths(25), st.floats(0, 0.9)
    holds(lambda *case: check_chunks(lambda lengths: lengths, *case), *cases)
    monkeypatch.setattr("dsptorch.functional.stream.runs_at_any_phase", lambda node: True)
    fails(lambda *case: check_chunks(lambda lengths: lengths, *case), *cases)  # nested levels do not


def test_factors_to_eight_do_not_fold():
    taps = torch.rand(1, 4, 8)
    block = multirate(
        taps, taps, taps, downsample=range(1, 9), weights=torch.rand(8), mix_ratio=0.4, detail_strength=0.75
    )
    assert block.period == 840
    assert not block.node.folds
    assert hold_mix.runs_at_any_phase(block.node)
    assert block.receptive_field == 1 + 3 + 7 + 3 + 3
