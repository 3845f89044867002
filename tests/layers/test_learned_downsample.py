"""A Multirate whose decimation factor learns."""

import copy

import pytest
import torch
from hypothesis import strategies as st

from dsptorch import BoundedHyperparam, Multirate
from dsptorch.functional import firwin
from dsptorch.testing import assert_causal, assert_compiles
from tests.layers.test_graphs import check_compiled_step
from tests.strategies import chunk_lengths, fails, holds
from tests.tolerances import assert_close, assert_same


def learned(value=2.4, low=1, high=8, d_model=3, dtype=torch.float64, **kwargs):
    """Its filters are moved, its factor is where it is said."""
    layer = Multirate(d_model, BoundedHyperparam(value, low, high, integer=True), **kwargs).to(dtype)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in (layer.low, layer.recon, layer.detail):
            weight.add_(0.3 * torch.randn(weight.shape, generator=generator).to(weight))
    return layer


X = torch.randn(2, 50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def check_mixes(factor, mixed):
    """One level is linear in its coarse band, so the block is the mixture of the plain blocks."""
    layer = learned(mixed)
    left = min(int(factor), 7)
    plain = []
    for s in (left, left + 1):
        layer_s = copy.deepcopy(layer)
        layer_s.downsample.set_(s)
        layer_s.downsample.harden()
        plain.append(layer_s.compact()(X))
        assert layer_s.compact().downsample == s
    share = factor - left
    assert_close(layer(X), (1 - share) * plain[0] + share * plain[1], dtype=torch.float32)


def test_is_the_mixture_of_its_neighbours():
    factor = st.floats(1.1, 7.9)
    holds(lambda factor: check_mixes(factor, factor), factor)
    fails(lambda factor: check_mixes(factor, factor + 0.05), factor)


@pytest.mark.parametrize(("levels", "high"), [(1, 8), (2, 4), (3, 3)])
@pytest.mark.parametrize("causal", [True, False])
def test_compact_at_an_integer_is_the_same(levels, high, causal):
    layer = learned(2.9, 1, high, levels=levels, causal=causal, detail_strength=0.6).eval()
    small = layer.compact()
    assert small.downsample == 3
    with pytest.raises(AssertionError):
        assert_close(small(X), layer(X))
    layer.downsample.harden()
    assert_close(small(X), layer(X))
    assert_close(layer.filter()(X, fold=True), layer(X))
    assert not small.training
    assert isinstance(small.compact(), Multirate)
    assert_same(small.compact()(X), small(X))


def test_compact_shares_nothing():
    layer = learned(2)
    before = layer(X).detach()
    small = layer.compact()
    assert {n for n, _ in small.named_parameters()} == {
        n for n, _ in layer.named_parameters() if n != "downsample.raw"
    }
    for parameter in small.parameters():
        parameter.data.add_(1)
    assert_same(layer(X).detach(), before)


def test_begins_with_the_low_pass_of_its_first_factor():
    expected = firwin(4, 1 / 3).unsqueeze(-1).expand(4, 2)
    for device in ("cpu", "meta"):
        factor = BoundedHyperparam(2.7, 1, 8, integer=True, device=device)
        layer = Multirate(2, factor, device=device)
        if device == "meta":
            layer = layer.to_empty(device="cpu")
        layer.reset_parameters()
        assert_same(layer.low[0].detach(), expected)
    factor.to_empty(device="cpu")
    factor.set_(6.2)
    assert_same(Multirate(2, factor).low[0].detach(), firwin(4, 1 / 6).unsqueeze(-1).expand(4, 2))


def test_learns_at_and_between_integers():
    for value in (2, 2.4, 1, 8):
        layer = learned(value)
        (layer(X) * X.roll(1, 1)).sum().backward()
        assert layer.downsample.raw.grad.abs().item() > 1e-3


def check_streams(layer, lengths):
    outputs, state = [], None
    for chunk in X.split(lengths, 1):
        y, state = layer.step(chunk, state)
        outputs.append(y)
    assert_close(torch.cat(outputs, 1), layer(X))


def test_factors_to_eight_stream():
    holds(lambda lengths: check_streams(learned(), lengths), chunk_lengths(50))

    class Forgets(Multirate):
        def process(self, x, memory, timeline):
            start = timeline.start
            return super().process(x, memory, timeline._replace(start=None if start is None else start * 0))

    layer = learned()
    layer.__class__ = Forgets
    fails(lambda lengths: check_streams(layer, lengths), chunk_lengths(50))


def test_factors_to_eight_are_causal():
    layer = learned()
    assert_causal(layer, X)
    assert layer.lookahead == 0
    assert layer.period == 840


@pytest.mark.slow
def test_factors_to_eight_compile():
    assert_compiles(learned(d_model=4), torch.randn(2, 9, 4, dtype=torch.float64), backend="aot_eager")
    check_compiled_step(learned(d_model=4, dtype=torch.float32), "aot_eager")


@pytest.mark.slow
def test_factors_to_eight_compile_by_inductor():
    torch._dynamo.reset()
    layer = learned(d_model=4, dtype=torch.float32)
    compiled = torch.compile(layer, fullgraph=True)
    for length in (33, 900):
        x = torch.randn(2, length, 4)
        y = compiled(x)
        y.square().sum().backward()
        assert_close(y, layer(x))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_lower_precision_keeps_the_factor(dtype):
    layer = learned(3, dtype=dtype)
    layer.downsample.harden()
    assert layer.downsample.value.item() == 3
    assert_close(layer(X.to(dtype)), layer.compact()(X.to(dtype)))


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (
            lambda: Multirate(4, BoundedHyperparam(2.0, 1, 4)),
            TypeError,
            r"downsample takes whole numbers, got BoundedHyperparam\(2, low=1, high=4\); build it with integer=True",
        ),
        (
            lambda: Multirate(4, BoundedHyperparam(2, 0, 4, integer=True)),
            ValueError,
            "downsample must be at least 1, got the lower bound 0; raise it",
        ),
        (
            lambda: Multirate(4, BoundedHyperparam(2, 1, 4, integer=True, shape=(4,))),
            ValueError,
            r"downsample must hold 1 value, got shape \(4,\)",
        ),
        (
            lambda: Multirate(4, BoundedHyperparam(2, 1, 8, integer=True), levels=2),
            ValueError,
            r"within 4096 samples, got 1 to 8 in 2 levels, which do after 705600; take fewer levels or smaller factors",
        ),
        (
            lambda: Multirate(4, levels=13),
            ValueError,
            r"within 4096 samples, got 2 in 13 levels, which do after 8192; take fewer levels or smaller factors",
        ),
    ],
)
def test_refuses(make, kind, message):
    with pytest.raises(kind, match=message):
        make()


def test_prints_its_factor():
    text = repr(learned(2.4))
    assert "(downsample): BoundedHyperparam(2.4, low=1, high=8, integer=True)" in text
    assert "downsample=" not in text
