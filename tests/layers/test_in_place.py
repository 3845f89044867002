"""What a layer gives out may be changed in place: it is nobody else's memory, and autograd allows it."""

import functools

import pytest
import torch
from torch import nn

from dsptorch import (
    FIR,
    AtRate,
    Chain,
    Delay,
    Layer,
    Multirate,
    Parallel,
    Pointwise,
    Residual,
    insert,
)
from tests.layers.dynamic_cases import build_any
from tests.layers.table import EVERY, STREAMING, WIDTH, build, signal
from tests.testing.test_layer import GivesAView
from tests.tolerances import assert_close, assert_same


def changed(y, inplace):
    """An addition and an activation of the output."""
    y = y.add_(0.1) if inplace else y + 0.1
    return torch.relu_(y) if inplace else torch.relu(y)


def gradients(layer, function, time):
    """Of the input and of the parameters."""
    x = signal(2, time).requires_grad_()
    layer.zero_grad()
    y = function(x)
    (y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)).sum().backward()
    return [y.detach(), x.grad, *(p.grad for p in layer.parameters() if p.grad is not None)]


def check_in_place(layer, run, time):
    found = [gradients(layer, lambda x, how=how: changed(run(x), how), time) for how in (True, False)]
    for mine, its in zip(*found, strict=True):
        assert_close(mine, its)


@pytest.mark.parametrize("time", [8, 9])
@pytest.mark.parametrize("name", EVERY)
def test_forward(name, time):
    layer = build(name)
    check_in_place(layer, layer, time)


@pytest.mark.parametrize("name", STREAMING)
def test_step(name):
    """Each chunk is changed before the next one comes; one sample too."""
    layer = build(name)

    def run(x, inplace):
        state, chunks = None, []
        for chunk in x.split([4, 1, 1, 6], 1):
            y, state = layer.step(chunk, state)
            chunks.append(changed(y, inplace))
        return torch.cat(chunks, 1)

    found = [gradients(layer, lambda x, how=how: run(x, how), 12) for how in (True, False)]
    for mine, its in zip(*found, strict=True):
        assert_close(mine, its)


def test_a_view_that_is_given_out_is_caught():
    layer = GivesAView(WIDTH, 3).double()
    with pytest.raises(RuntimeError, match="view"):
        check_in_place(layer, layer, 8)


@pytest.mark.parametrize("make", [lambda: FIR(WIDTH, 4), lambda: Multirate(WIDTH)])
def test_inserted_before_an_activation_in_place(make):
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(inplace=True)).double()
    insert(model, "0", lambda block: make().double(), position="after")
    found = []
    for model[1].inplace in (True, False):
        found.append(gradients(model, model, 8))
    for mine, its in zip(*found, strict=True):
        assert_close(mine, its)


COMPILED = ["FIR delays", "Multirate", "LFORouting depthwise", "ChannelBottleneck", "EMA first", "Biquad"]
COMPILED += ["ModulatedDelay", "Delay", "Pointwise", "Chain", "Parallel", "Residual", "Split"]
COMPILED += ["AtRate", "FilterBank", "Wavelet", "Lifting"]
"""One for each way in which an output is made: computed, passed on, or a part of a larger tensor."""


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPILED)
def test_compiled(name):
    """Within the graph, and after it."""
    torch._dynamo.reset()
    layer = build_any(name)
    compiled = functools.partial(torch.compile, backend="aot_eager", fullgraph=True)
    within, forward = compiled(lambda x: changed(layer(x), True)), compiled(layer)
    expected = gradients(layer, lambda x: changed(layer(x), False), 8)
    for run in (within, lambda x: changed(forward(x), True)):
        for mine, its in zip(gradients(layer, run, 8), expected, strict=True):
            assert_close(mine, its)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["EMA first", "Chain"])
def test_compiled_step(name):
    torch._dynamo.reset()
    layer = build_any(name)
    step = torch.compile(layer.step, backend="aot_eager", fullgraph=True)
    found = gradients(layer, lambda x: changed(step(x)[0], True), 8)
    for mine, its in zip(found, gradients(layer, lambda x: changed(layer(x), False), 8), strict=True):
        assert_close(mine, its)


# The memory of the input


class Views(nn.Module):
    """Gives back a view of all of its input."""

    def forward(self, x):
        return x.flatten(1).unflatten(1, x.shape[1:])


class Passes(Layer):
    lookahead, period, receptive_field = 0, 1, 1

    def process(self, x, memory, timeline):
        return x, ()


PASSING = {
    "Identity": lambda: Pointwise(nn.Identity(), WIDTH),
    "Dropout": lambda: Pointwise(nn.Dropout(), WIDTH).eval(),
    "a view": lambda: Pointwise(Views(), WIDTH),
    "in place": lambda: Pointwise(
        nn.Sequential(nn.ReLU(inplace=True), nn.Dropout(inplace=True)), WIDTH
    ).eval(),
    "a layer of one's own": lambda: Passes(WIDTH),
    "Chain": lambda: Chain(Delay(WIDTH, 0), Pointwise(nn.Identity(), WIDTH)),
    "Chain in place": lambda: Chain(Pointwise(nn.Identity(), WIDTH), Pointwise(nn.ReLU(inplace=True), WIDTH)),
    "Parallel": lambda: Parallel(Pointwise(nn.Identity(), WIDTH)),
    "Residual in place": lambda: Residual(Pointwise(nn.ReLU(inplace=True), WIDTH)),
    "AtRate": lambda: AtRate(nn.Identity(), 1, d_model=WIDTH),
}


def check_keeps_the_input(layer, run):
    for x in (signal(), signal().flip(1)[:, 1:], torch.randn(3, 9, WIDTH)[1:]):
        before = x.clone()
        expected = run(x).clone()
        y = run(x)
        y.add_(1).relu_()
        assert_same(x, before)
        assert_same(run(x), expected)


@pytest.mark.parametrize("name", PASSING)
def test_an_output_has_memory_of_its_own(name):
    layer = PASSING[name]()
    for mode in (torch.enable_grad, torch.no_grad, torch.inference_mode):
        with mode():
            check_keeps_the_input(layer, layer)
            if layer.streams:
                check_keeps_the_input(layer, lambda x: layer.step(x)[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Identity", "a view", "in place"])
def test_an_output_of_compiled_code_has_memory_of_its_own(name):
    torch._dynamo.reset()
    layer = PASSING[name]()
    check_keeps_the_input(layer, torch.compile(layer, backend="aot_eager", fullgraph=True))


def test_an_output_that_is_the_input_is_caught(monkeypatch):
    monkeypatch.setattr("dsptorch.layers.base._own_memory", lambda y, x: y)
    for name in ("Identity", "Dropout", "a view", "Chain"):
        with pytest.raises(AssertionError):
            check_keeps_the_input(PASSING[name](), PASSING[name]())
