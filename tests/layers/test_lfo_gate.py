"""LFOGate: LFORouting is this gate on a grouped filter, by the recorded numbers too; and any other layer under it."""

from fractions import Fraction

import pytest
import torch

import dsptorch as d
from dsptorch import LFOGate
from dsptorch.functional import grouped_conv
from dsptorch.functional.filtering import latest, with_history
from dsptorch.functional.kernel import earlier
from dsptorch.functional.lfo_routing import mix_groups
from dsptorch.testing import assert_streaming_equals_batch
from tests.layers.table import WIDTH, scattered, signal
from tests.recorded.measure import check
from tests.recorded.record import Reader
from tests.tolerances import assert_close, assert_same

RECORDED = Reader()


class Grouped(d.Layer):
    """What LFORouting gates, as a layer of its own."""

    lookahead, period = 0, 1

    def __init__(self, weight):
        super().__init__(WIDTH)
        self.weight = torch.nn.Parameter(weight)

    @property
    def receptive_field(self):
        return self.weight.shape[1]

    def process(self, x, memory, timeline):
        kept, segments = self.receptive_field - 1, timeline.segments
        seen = with_history(x, memory, kept)
        if segments is None:
            y = grouped_conv(seen, self.weight)
        else:
            y = mix_groups([earlier(seen, lag, segments) for lag in range(kept + 1)], self.weight)
        return y, latest(seen, kept, segments)


BUILD = {
    "LFORouting": lambda state: LFOGate(Grouped(state["weight"]), 2),
    "LFORouting one route": lambda state: LFOGate(Grouped(state["weight"]), 1, num_lfos=3),
    "LFORouting fixed": lambda state: LFOGate(
        Grouped(state["weight"]), 4, residual_mix=0.3, gate_temperature=0.8
    ),
    "LFORouting depthwise": lambda state: LFOGate(d.FIR(WIDTH, 4, init=state["weight"]), 2),
}
"""A gate with the recorded weights, for each recorded LFORouting."""


def gated(name):
    state = RECORDED[f"state {name}"]
    layer = BUILD[name](state).double()
    layer.load_state_dict({"layer.weight" if key == "weight" else key: value for key, value in state.items()})
    return layer


def check_recorded(layer, name):
    inputs, recorded = RECORDED.inputs(name), RECORDED[f"layer {name}"]
    x = inputs.x.clone().requires_grad_()
    y = layer(x)
    check(y.detach(), recorded["forward"], "forward", torch.float64)
    grads = torch.autograd.grad((inputs.v * y).sum(), [x, *layer.parameters()])
    names = ["x", *(n.removeprefix("layer.") for n, _ in layer.named_parameters())]
    for which, grad in zip(names, grads, strict=True):
        check(grad, recorded[f"gradient of {which}"], f"gradient of {which}", torch.float64)
    packed = layer(inputs.packed, segment_ids=inputs.ids)
    check(packed.detach(), recorded["packed forward"], "packed forward", torch.float64)


@pytest.mark.parametrize("name", BUILD)
def test_has_the_recorded_numbers_of_lfo_routing(name):
    check_recorded(gated(name), name)


@pytest.mark.parametrize(
    "change",
    [
        lambda layer: layer.gate.phase.data.mul_(-1),
        lambda layer: layer.gate.bias.data.add_(1e-6),
        lambda layer: layer.gate_temperature.set_(0.51),
        lambda layer: layer.residual_mix.set_(0.21),
        lambda layer: layer.gate.phase.data.copy_(layer.gate.phase.data.flip(0)),
    ],
    ids=["phase", "bias", "temperature", "mix", "routes"],
)
def test_the_recorded_numbers_catch(change):
    layer = gated("LFORouting")
    change(layer)
    with pytest.raises(AssertionError, match="is off by"):
        check_recorded(layer, "LFORouting")


def test_draws_what_lfo_routing_draws():
    """The same seed gives the same gates."""
    torch.manual_seed(0)
    routing = d.LFORouting(WIDTH, 2)
    torch.manual_seed(0)
    torch.empty_like(routing.weight).uniform_()
    gate = LFOGate(d.FIR(WIDTH), 2).gate
    for mine, its in zip(gate.parameters(), routing.gate.parameters(), strict=True):
        assert_same(mine, its)


UNDER = {
    "AtRate": lambda: d.AtRate(d.FIR(WIDTH, 2), 2),
    "recurrences": lambda: d.Chain(d.EMA(WIDTH, warm=True), d.SOS(WIDTH, 2, max_half_life=16.0)),
    "a gate": lambda: LFOGate(d.Multirate(WIDTH, kernel_size=2), 2),
    "a moving delay": lambda: d.ModulatedDelay(WIDTH, 3),
}


@pytest.mark.parametrize("name", UNDER)
def test_any_layer_goes_under_it(name):
    layer = scattered(LFOGate(UNDER[name](), 2))
    assert (layer.grid, layer.streams, layer.period) == (layer.layer.grid, True, None)
    assert_streaming_equals_batch(layer, signal(2, 24), chunkings=2, gradients=False)
    x = signal(1, 24)
    alone = torch.cat([layer(x[:, :10]), layer(x[:, 10:])], 1)
    assert_close(layer(x, torch.tensor([[0] * 10 + [1] * 14])), alone)


def test_a_closed_gate_passes_the_input_and_an_open_one_the_layer():
    x = signal(2, 9)
    layer = LFOGate(d.FIR(WIDTH, 3, init="lowpass"), 2, residual_mix=0.0).double()
    for bias, expected in ((-1e4, x), (1e4, layer.layer(x))):
        layer.gate.bias.data.fill_(bias)
        assert_close(layer(x), expected)


def test_the_input_waits_for_a_layer_that_is_late():
    x = signal(2, 20)
    layer = scattered(LFOGate(d.FIR(WIDTH, 5, init="lowpass", delay=2), 2, residual_mix=0.25))
    assert (layer.delay, layer.receptive_field) == (2, 5)
    for bias, expected in (
        (-1e4, d.Delay(WIDTH, 2)(x)),
        (1e4, 0.25 * d.Delay(WIDTH, 2)(x) + 0.75 * layer.layer(x)),
    ):
        layer.gate.bias.data.fill_(bias)
        assert_close(layer(x), expected)
    assert LFOGate(d.Delay(WIDTH, 3)).receptive_field == 4
    assert d.Residual(layer).delay == 2


class HalfLate(d.FIR):
    delay = Fraction(1, 2)


def test_folds_with_what_is_under_it():
    x = signal(2, 30)
    layer = scattered(LFOGate(d.Chain(d.FIR(WIDTH, 3), d.Multirate(WIDTH)), 2))
    folded = d.fold(layer)
    assert type(folded) is LFOGate
    assert type(folded.layer).__name__ == "FixedFilter"
    assert not [p for p in folded.parameters() if p.requires_grad]
    assert_close(folded(x), layer(x))
    layer.layer.register_forward_hook(lambda module, args, y: 2 * y)
    hooked = d.fold(layer)
    assert type(hooked.layer) is d.Chain  # what the hook does is not folded away
    assert_close(hooked(x), layer(x))


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: LFOGate(torch.nn.GELU()), TypeError, "LFOGate takes a dsptorch layer, got GELU"),
        (lambda: LFOGate(HalfLate(4)), ValueError, "by whole samples, got delay=1/2; choose a filter"),
        (lambda: LFOGate(d.Decimate(4, 2)), ValueError, "LFOGate needs a layer that keeps rate and width"),
        (lambda: LFOGate(d.EMABank(4, 2)), ValueError, "LFOGate needs a layer that keeps rate and width"),
        (lambda: LFOGate(d.FIR(6)), ValueError, "routes must divide d_model, got 4 routes for a width of 6"),
        (lambda: LFOGate(d.FIR(4), num_lfos=0), ValueError, "num_lfos must be at least 1, got 0"),
        (lambda: LFOGate(d.FIR(4), max_freq=0.6), ValueError, r"max_freq must be in \(0, 0.5\]"),
        (lambda: LFOGate(d.FIR(4), residual_mix=1.5), ValueError, r"residual_mix.*\[0, 1\], got 1.5"),
        (lambda: LFOGate(d.FIR(4), gate_temperature=0.0), ValueError, "gate_temperature.*got 0.0"),
    ],
)
def test_refuses(make, error, says):
    with pytest.raises(error, match=says):
        make()
