"""Every layer is a good nn.Module, beyond the contract: what half precision spares, torch.func, construction."""

import copy
from math import ceil

import pytest
import torch
from torch import nn

import dsptorch
from dsptorch import BoundedHyperparam, LFORouting
from dsptorch.testing import assert_gradients, assert_serializes
from tests.layers.table import EVERY, ONE_OF_EACH_KIND, WIDTH, build, signal
from tests.tolerances import assert_close, assert_same

each = pytest.mark.parametrize("name", EVERY)
WITHOUT_PARAMETERS = ("Delay", "ResamplePoly", "ResamplePoly down")
each_with_parameters = pytest.mark.parametrize(
    "name", [name for name in EVERY if name not in WITHOUT_PARAMETERS]
)
SENSITIVE = ("raw", "phase", "amplitude", "bias")  # of hyperparameters and gates: never below float32


def sensitive(layer):
    """Raw hyperparameters, frequencies and phases."""
    for module in layer.modules():
        if isinstance(module, BoundedHyperparam):
            yield module.raw
        if isinstance(module, LFORouting):
            yield from module.gate.parameters()


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


@pytest.mark.parametrize("name", [*ONE_OF_EACH_KIND, "LFORouting depthwise", "Multirate learned"])
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


def test_a_state_dict_holds_the_parameters_and_fixed_taps_alone():
    for name in EVERY:
        layer = build(name)
        fixed = {n for n, _ in layer.named_buffers()}
        assert set(layer.state_dict()) == {n for n, _ in layer.named_parameters()} | fixed, name
        assert not fixed or any(isinstance(part, dsptorch.ResamplePoly) for part in layer.modules()), name


def test_a_copy_that_shares_its_weights_is_caught():
    class Shares(dsptorch.Multirate):
        def __deepcopy__(self, memo):
            twin = type(self).__new__(type(self))
            twin.__dict__.update(self.__dict__)
            return twin

    with pytest.raises(AssertionError, match="shares the parameter"):
        assert_serializes(Shares(WIDTH).double(), signal())


# Construction


@each_with_parameters
def test_device_and_dtype(name):
    layer = EVERY[name](dtype=torch.float64, device="cpu")
    kept = {id(p) for p in sensitive(layer)}
    assert {p.dtype for p in layer.parameters() if id(p) not in kept} == {torch.float64}
    assert {p.dtype for p in layer.parameters() if id(p) in kept} <= {torch.float32}


@each_with_parameters
def test_built_on_the_meta_device(name):
    layer = EVERY[name](device="meta")
    assert all(p.is_meta for p in layer.parameters())
    assert layer(signal(dtype=torch.float32).to("meta")).shape == (2, ceil(19 * layer.rate), layer.d_out)
    assert type(layer).__name__ in repr(layer)
    real = layer.to_empty(device="cpu")
    real.load_state_dict(EVERY[name]().state_dict())
    assert real(signal(dtype=torch.float32)).isfinite().all()


@each_with_parameters
def test_materialised_from_the_meta_device(name):
    """As FSDP does it: every module with parameters of its own can set them to their first values."""
    layer = EVERY[name](device="meta").to_empty(device="cpu")
    for parameter in layer.parameters():
        parameter.data.fill_(torch.nan)
    for module in layer.modules():
        if next(module.parameters(recurse=False), None) is not None:
            module.reset_parameters()
    assert all(parameter.isfinite().all() for parameter in layer.parameters())


@each
def test_reset_parameters(name):
    """After it the layer is as new: a weight that a first value determines has it again."""
    layer = build(name, torch.float32)
    if not hasattr(layer, "reset_parameters"):
        assert not list(layer.parameters(recurse=False))
        return
    hyperparams = {n: h.value for n, h in dsptorch.named_hyperparams(layer)}
    torch.manual_seed(3)
    layer.reset_parameters()
    torch.manual_seed(3)
    fresh = EVERY[name]()
    for n, h in dsptorch.named_hyperparams(layer):
        assert_same(h.value, hyperparams[n])
    torch.manual_seed(3)
    fresh.reset_parameters()
    own = not isinstance(layer, dsptorch.Blend)  # the layer in it has a reset of its own
    mine, its = dict(layer.named_parameters(recurse=own)), dict(fresh.named_parameters())
    for n, p in mine.items():
        if not n.endswith(".raw"):
            assert_same(p, its[n])


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
    ],
)
def test_repr_names(layer, parts):
    for part in parts:
        assert part in repr(layer)
