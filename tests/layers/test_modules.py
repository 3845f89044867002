"""Every layer is a good nn.Module, beyond the contract: what half precision spares, torch.func, construction."""

import copy
from math import ceil

import pytest
import torch
from torch import nn

import dsptorch
from dsptorch import BoundedHyperparam
from dsptorch.layers.lfo import Oscillators
from dsptorch.testing import assert_gradients, assert_serializes
from tests.layers.table import EVERY, ONE_OF_EACH_KIND, WIDTH, build, signal
from tests.tolerances import assert_close, assert_same

each = pytest.mark.parametrize("name", EVERY)
WITHOUT_PARAMETERS = ("Delay", "ResamplePoly", "ResamplePoly down", "EMA fixed", "Biquad fixed")
each_with_parameters = pytest.mark.parametrize(
    "name", [name for name in EVERY if name not in WITHOUT_PARAMETERS]
)
SENSITIVE = ("raw", "phase", "amplitude", "bias")  # of hyperparameters and gates: never below float32


def sensitive(layer):
    """Raw hyperparameters, frequencies and phases."""
    for module in layer.modules():
        if isinstance(module, BoundedHyperparam):
            yield module.raw
        if isinstance(module, Oscillators):
            yield from module.parameters()


@each
def test_half_precision_keeps_what_is_sensitive(name):
    layer = build(name)
    for cast, expected in (("half", torch.float32), ("bfloat16", torch.float32), ("double", torch.float64)):
        check_sensitive(getattr(copy.deepcopy(layer).float(), cast)(), expected)
    check_sensitive(
        copy.deepcopy(layer).to(torch.bfloat16).to("cpu"), torch.float64
    )  # it was float64 and stays


def check_sensitive(layer, expected):
    assert {p.dtype for p in sensitive(layer)} <= {expected}


def test_a_hyperparameter_in_half_precision_is_caught():
    layer = build("Multirate", torch.float32)
    layer.mix_ratio.raw.data = layer.mix_ratio.raw.data.half()
    with pytest.raises(AssertionError):
        check_sensitive(layer, torch.float32)


def test_values_survive_a_trip_through_half_precision():
    layer = dsptorch.LFORouting(8, 2)
    before = layer.gate.freq.value, layer.gate.phase.clone(), layer.residual_mix.value
    layer.half().float()
    for a, b in zip(before, (layer.gate.freq.value, layer.gate.phase, layer.residual_mix.value), strict=True):
        assert_same(a, b)


# Gradients


QUICK = ("Multirate", "LFORouting", "ChannelBottleneck", "Chain", "EMA", "FilterBank", "ModulatedDelay")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in (*ONE_OF_EACH_KIND, "LFORouting depthwise", "Multirate learned")
    ],
)
def test_forward_mode_derivatives(name):
    assert_gradients(build(name), signal(1, 7), forward_mode=True)


def test_gradcheck_catches_a_gain_without_a_gradient():
    class Deaf(BoundedHyperparam):
        def forward(self):
            return super().forward().detach() + 0 * self.raw

    layer = build("Multirate")
    layer.mix_ratio.__class__ = Deaf
    with pytest.raises(AssertionError, match=r"in parameter 'mix_ratio.raw' is wrong"):
        assert_gradients(layer, signal(1, 7))


@each
def test_every_parameter_gets_a_gradient(name):
    layer = build(name)
    y = layer(signal().requires_grad_())
    (y * signal(*y.shape[:2], seed=3, width=layer.d_out)).sum().backward()
    check_gradients(layer)


def check_gradients(layer):
    for parameter_name, parameter in layer.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.ne(0).any(), parameter_name


def test_a_parameter_without_a_gradient_is_caught():
    layer = build("FIR identity")
    layer.unused = nn.Parameter(torch.ones(1))
    layer(signal()).sum().backward()
    with pytest.raises(AssertionError):
        check_gradients(layer)


@each
def test_torch_func(name):
    """Gradients of each row by vmap are those of each row by autograd."""
    layer = build(name)
    parameters = dict(layer.named_parameters())
    x, v = signal(3, 8), signal(1, ceil(8 * layer.rate), seed=4, width=layer.d_out)

    def loss(parameters, row):
        return (torch.func.functional_call(layer, parameters, (row.unsqueeze(0),)) * v).sum()

    per_row = torch.func.vmap(torch.func.grad(loss), (None, 0))(parameters, x)
    for i, row in enumerate(x):
        expected = (
            torch.autograd.grad(loss(parameters, row), list(parameters.values()), allow_unused=True)
            if parameters
            else ()
        )
        for grad, other in zip(per_row.values(), expected, strict=True):
            assert_close(grad[i], other)


# Copies


def test_a_state_dict_holds_parameters_intervals_and_fixed_taps_alone():
    for name in EVERY:
        layer = build(name)
        fixed = {n for n, _ in layer.named_buffers()}
        assert set(layer.state_dict()) == {n for n, _ in layer.named_parameters()} | fixed, name
        assert {n.rpartition(".")[2] for n in fixed} <= {"interval", "filter"}, name


def test_a_copy_that_shares_its_weights_is_caught():
    class Shares(dsptorch.Multirate):
        def __deepcopy__(self, memo):
            twin = type(self).__new__(type(self))
            twin.__dict__.update(self.__dict__)
            return twin

    with pytest.raises(AssertionError, match="shares the parameter"):
        assert_serializes(Shares(WIDTH).double(), signal())


# Construction: see test_first_values.py


@each
def test_repr_says_how_it_was_built(name):
    layer = build(name)
    text = repr(layer)
    assert type(layer).__name__ in text
    assert "object at" not in text
    for module in layer.modules():
        if isinstance(module, dsptorch.Layer) and type(module).extra_repr is not nn.Module.extra_repr:
            assert str(module.d_model) in module.extra_repr()
            assert module.extra_repr() in text


@pytest.mark.parametrize(
    ("layer", "parts"),
    [
        (dsptorch.FIR(7, 5, init="lowpass", delay=2), ["7", "kernel_size=5", "lowpass", "delay=2"]),
        (dsptorch.Delay(7, 3), ["7", "delay=3"]),
        (
            dsptorch.Multirate(7, 3, levels=2),
            ["7", "downsample=3", "levels=2", "BoundedHyperparam(0.4, low=0.2, high=0.6)"],
        ),
        (dsptorch.Multirate(7, mix_ratio=0.31, detail_strength=0.62), ["0.31", "0.62"]),
        (dsptorch.LFORouting(8, 2, depthwise=True), ["8", "routes=2", "depthwise=True", "max_freq=0.1"]),
        (dsptorch.LFORouting(8, 2, residual_mix=0.31, gate_temperature=0.62), ["0.31", "0.62"]),
        (dsptorch.ChannelBottleneck(8), ["8", "units=3", "BoundedHyperparam(0.25, low=0.15, high=0.35)"]),
        (dsptorch.ChannelBottleneck(8, residual_mix=0.31), ["0.31"]),
        (dsptorch.Blend(dsptorch.FIR(8)), ["Blend", "FIR"]),
        (
            dsptorch.LFOGate(dsptorch.FIR(8), 2, residual_mix=0.31),
            ["8, routes=2, num_lfos=2, max_freq=0.1", "residual_mix=0.31", "FIR(8"],
        ),
        (
            dsptorch.ModulatedDelay(8, 5, min_delay=1.5, mix=1.0, delay=3),
            ["8, max_delay=5, min_delay=1.5, mix=1, interpolation=linear, delay=3", "LFO(\n"],
        ),
        (dsptorch.Tremolo(8, dsptorch.LFO(2, 0.25), depth=0.5), ["8, depth=0.5", "LFO(2, freq=0.25"]),
        (dsptorch.LFO(2, 0.25, waveform="saw"), ["LFO(2, freq=0.25, waveform=saw, sharpness=0.9)"]),
    ],
)
def test_repr_names(layer, parts):
    for part in parts:
        assert part in repr(layer)
