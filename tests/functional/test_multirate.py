"""The block against the seed's equations, and the identities of a Laplacian pyramid."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import strategies as st

from dsptorch.functional import multirate
from tests.oracles import causal_conv, literal_multirate, lptv_loop
from tests.strategies import fails, holds, signals
from tests.tolerances import assert_close


@st.composite
def blocks(draw, max_levels=3):
    """(low, recon, detail, downsample): the taps of a block of random filters."""
    levels, kernel_size = draw(st.integers(1, max_levels)), draw(st.integers(1, 5))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    taps = torch.randn(3, levels, kernel_size, 2, dtype=torch.float64, generator=generator)
    return *taps, draw(st.integers(1, 4))


def ours(x, low, recon, detail, downsample, mix_ratio, detail_strength, **kwargs):
    block = multirate(
        low,
        recon,
        detail,
        downsample=downsample,
        mix_ratio=mix_ratio,
        detail_strength=detail_strength,
        **kwargs,
    )
    return block(x)


def check_literal(compute, block, x, mix, strength):
    assert_close(compute(x, *block, mix, strength), literal_multirate(x, *block, mix, strength))


CASES = blocks(), signals(max_time=40, min_batch=1, min_time=1), st.floats(0, 1), st.floats(-1, 2)


def test_is_the_seeds_equations():
    holds(lambda *case: check_literal(ours, *case), *CASES, times=2)


@pytest.mark.parametrize(
    "broken",
    [
        lambda x, low, recon, detail, s, m, a: ours(x, recon, low, detail, s, m, a),
        lambda x, low, recon, detail, s, m, a: ours(x, low, recon, detail, s, a, m),
        lambda x, low, recon, detail, s, m, a: ours(x, low, recon, detail, s, m, a, offset=1),
        lambda x, low, recon, detail, s, m, a: ours(F.pad(x, (0, 0, 1, 0)), low, recon, detail, s, m, a)[
            :, 1:
        ],
    ],
    ids=["low and recon swapped", "mix and strength swapped", "looks ahead", "late by one"],
)
def test_the_equations_catch(broken):
    fails(lambda *case: check_literal(broken, *case), *CASES)


def test_the_literal_convolution_is_the_loop():
    x, taps = torch.randn(2, 9, 3, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    assert_close(causal_conv(x, taps), lptv_loop(x, taps.unsqueeze(0), (0, 1, 2, 3)))


def check_identity(block, x, mix, strength=1.0, offset=0):
    low, recon, detail, downsample = block
    delta = torch.zeros_like(detail)
    delta[:, min(offset, detail.shape[1] - 1)] = 1
    y = ours(x, low, recon, delta, downsample, mix, strength, offset=min(offset, detail.shape[1] - 1))
    scale = 1 + sum(w.abs().sum(1).amax() for w in (low, recon)) ** (2 * len(low))
    assert (y - x).abs().amax() <= 1e-14 * scale * x.abs().amax()


def test_is_the_identity_for_any_filters_and_mix_when_the_detail_is_whole():
    cases = blocks(), signals(min_batch=1, min_time=1, max_time=30), st.floats(0, 1)
    holds(check_identity, *cases)
    holds(lambda *case: check_identity(*case, offset=2), *cases)
    fails(lambda *case: check_identity(*case, strength=0.99), *cases)


def test_gradients_are_the_literal_ones():
    low, recon, detail = torch.randn(3, 2, 4, 2, dtype=torch.float64)
    values = [
        low,
        recon,
        detail,
        torch.tensor([0.4], dtype=torch.float64),
        torch.tensor([0.75], dtype=torch.float64),
    ]
    x, v = torch.randn(2, 2, 23, 2, dtype=torch.float64)

    def gradients(compute):
        leaves = [value.clone().requires_grad_() for value in (x, *values)]
        y = compute(*leaves[:4], 2, *leaves[4:])
        return torch.autograd.grad((y * v).sum(), leaves)

    for a, b in zip(gradients(ours), gradients(literal_multirate), strict=True):
        assert_close(a, b)


def test_folded_is_the_cascade():
    low, recon, detail = torch.randn(3, 2, 4, 2, dtype=torch.float64)
    x = torch.randn(1, 50, 2, dtype=torch.float64)
    for offset in (0, 2):
        block = multirate(low, recon, detail, downsample=3, mix_ratio=0.3, detail_strength=0.5, offset=offset)
        assert_close(block(x, fold=True), block(x, fold=False))
        assert block.lookahead == (0 if offset == 0 else block.lookahead)
        assert (block.lookahead > 0) == (offset > 0)


def test_refuses_filters_of_different_levels():
    taps = torch.rand(2, 3, 4)
    with pytest.raises(ValueError):  # noqa: PT011
        multirate(taps, taps[:1], taps, downsample=2, mix_ratio=0.4, detail_strength=0.75)
