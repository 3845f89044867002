"""Folded for inference, a layer or a model gives the same numbers with less."""

import copy

import pytest
import torch
from torch import nn

from dsptorch import (
    EMA,
    FIR,
    LFO,
    SOS,
    Biquad,
    Blend,
    BoundedHyperparam,
    Chain,
    ChannelBottleneck,
    Delay,
    EMABank,
    Layer,
    LFORouting,
    ModulatedDelay,
    Multirate,
    Parallel,
    Pointwise,
    Residual,
    Resonator,
    Tremolo,
    find,
    fold,
    insert,
    named_hyperparams,
    remove,
    streaming,
)
from dsptorch.layers import FixedFilter, fold_layer
from dsptorch.testing import assert_causal, assert_streaming_equals_batch
from tests.layers.table import CAUSAL, LAYERS, WIDTH, build, signal
from tests.layers.table import scattered as moved
from tests.surgery.models import check_unchanged, draw, model, snapshot
from tests.tolerances import assert_close, assert_same

X = draw(2, 19, WIDTH)


def check(layer, folded):
    x = signal(2, 40)
    assert_close(folded(x), layer(x))
    assert folded.lookahead <= layer.lookahead
    assert folded.delay == layer.delay
    assert not any(tensor.requires_grad for tensor in (*folded.parameters(), *folded.buffers()))
    assert all(hyperparam.integer for _, hyperparam in named_hyperparams(folded))


@pytest.mark.parametrize("name", LAYERS)
def test_a_folded_layer_gives_the_same_numbers(name):
    layer = build(name)
    before = copy.deepcopy(layer.state_dict())
    folded = fold(layer)
    check(layer, folded)
    if name in CAUSAL:
        assert_streaming_equals_batch(folded, signal(), gradients=False)
    assert all(torch.equal(value, before[key]) for key, value in layer.state_dict().items())
    with torch.no_grad():  # they share nothing
        for parameter in layer.parameters():
            parameter.add_(1)
    if list(layer.parameters()) and any(True for _ in folded.buffers()):
        with pytest.raises(AssertionError):
            check(layer, folded)


@pytest.mark.parametrize(
    "layer",
    [
        SOS(1),
        SOS(1, 2),
        Biquad(1, "free"),
        Biquad(1),
        EMA(1),
        EMABank(1, 1),
        Resonator(1),
        Tremolo(1, LFO(1)),
        ModulatedDelay(1, 3, LFO(1)),
        LFORouting(1, 1),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_one_channel(layer):
    """Hyperparameters of one channel become numbers."""
    layer = moved(copy.deepcopy(layer))
    x = signal(width=1)
    assert_close(fold(layer)(x), layer(x))
    assert_streaming_equals_batch(fold(layer), x, gradients=False)


@pytest.mark.parametrize(
    "name", ["LFORouting", "EMA warm", "Resonator noise", "Biquad", "LFOGate", "ModulatedDelay"]
)
def test_the_state_dict_has_every_number(name):
    """A folded layer of other values takes those of the state dict."""
    folded, other = fold(build(name)), fold(build(name, scatter=False))
    assert not torch.allclose(other(signal()), folded(signal()))
    other.load_state_dict(folded.state_dict())
    assert_same(other(signal()), folded(signal()))


class Warms(nn.Module):
    """Calls its hyperparameter, as docs/adaptive.md has it."""

    def __init__(self):
        super().__init__()
        self.temperature = BoundedHyperparam(5.0, 0.1, 10.0, log=True)

    def forward(self, x):
        return torch.tanh(x / self.temperature())


class Warm(Delay):
    """A layer of somebody else that does the same."""

    def __init__(self, d_model):
        super().__init__(d_model, 1)
        self.warms = Warms()

    def process(self, x, memory, timeline):
        return super().process(self.warms(x), memory, timeline)


@pytest.mark.parametrize("layer", [Pointwise(Warms(), WIDTH), Warm(WIDTH), Chain(Warm(WIDTH), EMA(WIDTH))])
def test_a_module_that_calls_its_hyperparameter_still_can(layer):
    x, folded = draw(2, 19, WIDTH), fold(layer)
    assert_close(folded(x), layer(x))
    assert not any(parameter.requires_grad for parameter in folded.parameters())


def test_many_filters_in_a_chain_are_folded_in_pieces():
    layer = Chain(*(FIR(WIDTH, 2, init=0.5 * draw(2, WIDTH, seed=i)) for i in range(70)))
    x = draw(1, 9, WIDTH)
    folded = fold(layer.double())
    assert_close(folded(x.double()), layer(x.double()))
    assert len(folded.layers) == 3


def opened(blend):
    blend.gain.data.fill_(0.5)
    return blend


@pytest.mark.parametrize(
    ("layer", "taps"),
    [
        (Chain(FIR(WIDTH, 3), Multirate(WIDTH)), 13),
        (Chain(FIR(WIDTH, 3), FIR(WIDTH, 2), Delay(WIDTH, 4)), 4),
        (Residual(FIR(WIDTH, 3)), 3),
        (Parallel(FIR(WIDTH, 3), Delay(WIDTH, 5)), 3),
        (opened(Blend(Chain(FIR(WIDTH, 3), FIR(WIDTH, 2)))), 4),
        (Chain(Residual(FIR(WIDTH, 2)), Residual(FIR(WIDTH, 2))), 3),
        (Parallel(FIR(WIDTH, 3, causal=False), FIR(WIDTH, 2)), 3),
    ],
)
def test_neighbours_become_one_filter(layer, taps):
    folded = fold(layer)
    assert isinstance(folded, FixedFilter)
    assert folded.weight.shape[1] == taps
    assert_close(folded(X), layer(X))


def test_what_looks_ahead_is_not_chained_into_one():
    """Between its filters a chain drops what lies beyond the ends; the product does not."""
    layer = Chain(FIR(WIDTH, 3, init="lowpass", causal=False), FIR(WIDTH, 3, init="lowpass", causal=False))
    folded = fold(layer)
    assert isinstance(folded, Chain)
    assert_close(folded(X), layer(X))
    product = FixedFilter(layer.layers[1].filter() @ layer.layers[0].filter(), WIDTH)
    with pytest.raises(AssertionError):
        assert_close(product(X), layer(X))


def test_only_the_cheaper_form_is_taken():
    assert isinstance(fold(Chain(Multirate(WIDTH, 2), Multirate(WIDTH, 4))), FixedFilter)
    assert isinstance(fold(Chain(Multirate(WIDTH, 7), Multirate(WIDTH, 8))), Chain)  # together 56 phases
    assert isinstance(fold(Multirate(WIDTH, levels=4)), Multirate)
    chain = fold(Chain(FIR(WIDTH, 3), FIR(WIDTH, 3), LFORouting(WIDTH), FIR(WIDTH, 2), FIR(WIDTH, 2)))
    assert [type(layer) for layer in chain.layers] == [FixedFilter, LFORouting, FixedFilter]


@pytest.mark.parametrize("ratio", [0.16, 0.2511, 0.3, 0.34])
def test_a_bottleneck_keeps_the_units_that_count(ratio):
    torch.manual_seed(0)
    layer = ChannelBottleneck(64, bottleneck_ratio=BoundedHyperparam(ratio, 0.15, 0.35))
    folded, x = fold(layer), torch.randn(2, 9, 64)
    assert_close(folded(x), layer(x))
    assert folded.down.out_features <= layer.down.out_features
    if ratio < 0.2:
        assert folded.down.out_features < layer.down.out_features
        with pytest.raises(AssertionError):
            assert_close(layer.compact()(x), layer(x))


def test_a_model_with_insertions():
    m = model()
    insert(m, "blocks.*", lambda _: Chain(FIR(WIDTH, 3, init="delays"), Multirate(WIDTH)))
    insert(m, "recurrent", lambda _: LFORouting(WIDTH), position="after")
    before = snapshot(m)
    folded = fold(m)
    check_unchanged(m, before)
    assert_close(folded(X), m(X))
    assert set(find(folded, Layer)) == {*(f"blocks.{i}.dsp_before" for i in range(3)), "recurrent.dsp_after"}
    assert not list(named_hyperparams(folded))
    assert_causal(folded, X)
    with torch.no_grad():  # the weights of the rest are copies
        m.head.weight.zero_()
    assert not torch.allclose(folded(X), m(X))
    remove(folded)
    assert_close(folded(X), model()(X))


def test_a_folded_model_streams_and_saves():
    m = nn.Sequential(Chain(FIR(WIDTH, 3, init="delays"), Multirate(WIDTH)), nn.Linear(WIDTH, WIDTH))
    folded = fold(m)
    with streaming(folded):
        y = torch.cat([folded(chunk) for chunk in X.split(3, 1)], 1)
    assert_close(y, m(X))
    other = fold(nn.Sequential(Chain(FIR(WIDTH, 3), Multirate(WIDTH)), nn.Linear(WIDTH, WIDTH)))
    other.load_state_dict(folded.state_dict())
    assert_close(other(X), m(X))
    assert_close(folded.bfloat16()(X.bfloat16()), m(X).bfloat16())
    assert folded[0].weight.dtype == torch.float32


@pytest.mark.parametrize(
    "layer",
    [
        FIR(WIDTH, 3, init="delays"),
        Chain(FIR(WIDTH, 3, init="delays"), Multirate(WIDTH)),
        Parallel(FIR(WIDTH, 3, init="delays"), Multirate(WIDTH)),
        Blend(FIR(WIDTH, 3, init="delays")),
        ChannelBottleneck(WIDTH),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_what_hooks_do_is_not_folded_away(layer):
    layer = scattered(layer)
    for part in layer.modules():
        if isinstance(part, (FIR, torch.nn.Linear)):
            part.register_forward_hook(lambda module, args, output: torch.tanh(output))
    x, folded = signal(2, 40, torch.float32), fold(layer)
    assert_close(folded(x), layer(x))
    assert not any(parameter.requires_grad for parameter in folded.parameters())
    for part in layer.modules():
        part._forward_hooks.clear()
    assert not torch.allclose(folded(x), layer(x), atol=1e-4)


def scattered(layer):
    """Every gate open."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return layer


def test_a_layer_in_two_places_stays_one():
    layer = Multirate(WIDTH)
    folded = fold(nn.Sequential(layer, nn.GELU(), layer))
    assert folded[0] is folded[2]
    assert isinstance(folded[0], FixedFilter)


def test_a_layer_of_yours_folds_as_you_say():
    class Mine(FIR):
        pass

    @fold_layer.register
    def _(layer: Mine):
        return Delay(layer.d_model, 1)

    assert isinstance(fold(nn.Sequential(Mine(WIDTH)))[0], Delay)


def test_refuses_a_model_without_layers():
    with pytest.raises(ValueError, match="Linear has no dsptorch layer to fold"):
        fold(nn.Linear(2, 2))
