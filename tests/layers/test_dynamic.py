"""Batch and time stay free: one program for every length, exported or compiled, and no look at a value on the way."""

import pytest
import torch
from torch import nn
from torch.export import Dim
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from dsptorch import FIR, Chain, LFORouting, Multirate
from tests.layers.table import CAUSAL, LAYERS, WIDTH, build, signal
from tests.tolerances import assert_close

each = pytest.mark.parametrize("name", LAYERS)
each_causal = pytest.mark.parametrize("name", CAUSAL)
some = pytest.mark.parametrize("name", ["FIR delays", "Multirate 3", "LFORouting", "ChannelBottleneck"])
SIZES = [(1, 1), (2, 7), (4, 40), (5, 3)]


class Step(nn.Module):
    """`step` as a module: a state is a tuple of tensors, which programs take as they do any other."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x, state):
        return self.layer.step(x, state)


def exported(layer):
    x = signal(3, 11, torch.float32)
    sizes = {0: Dim("batch"), 1: Dim("time")}
    return torch.export.export(layer, (x,), dynamic_shapes=(sizes,)).module()


def exported_step(layer):
    x = signal(3, 11, torch.float32)
    _, state = layer.step(x)
    batch = Dim("batch")
    sizes = {"x": {0: batch, 1: Dim("time")}, "state": pytree.tree_map(lambda _: {0: batch}, state)}
    return torch.export.export(Step(layer), (x, state), dynamic_shapes=sizes).module()


def check_forward(program, layer):
    for batch, time in SIZES:
        x = signal(batch, time, torch.float32)
        assert_close(program(x), layer(x))


def check_step(program, layer):
    for batch, time in SIZES:
        x = signal(batch, time + 9, torch.float32)
        _, state = layer.step(x[:, :9])
        y, after = program(x[:, 9:], state)
        expected, expected_after = layer.step(x[:, 9:], state)
        assert_close(y, expected)
        for mine, its in zip(pytree.tree_leaves(after), pytree.tree_leaves(expected_after), strict=True):
            assert_close(mine, its)


@some
def test_exports_for_every_batch_and_time(name):
    layer = build(name, torch.float32).eval()
    check_forward(exported(layer), layer)
    check_step(exported_step(layer), layer)


@pytest.mark.slow
@each
def test_every_layer_exports_for_every_batch_and_time(name):
    layer = build(name, torch.float32).eval()
    check_forward(exported(layer), layer)


@pytest.mark.slow
@each_causal
def test_every_step_exports_for_every_batch_and_time(name):
    layer = build(name, torch.float32).eval()
    check_step(exported_step(layer), layer)


def test_a_program_of_one_length_is_caught():
    layer = build("Multirate", torch.float32)
    x = signal(3, 11, torch.float32)
    with pytest.raises((AssertionError, RuntimeError)):
        check_forward(torch.export.export(layer, (x,)).module(), layer)


# Compilation


def graphs(module, inputs):
    """How many graphs are compiled for these inputs; their numbers are those of eager code."""
    torch._dynamo.reset()
    count = [0]

    def backend(graph, _):
        count[0] += 1
        return graph

    compiled = torch.compile(module, fullgraph=True, backend=backend)
    with torch.no_grad():
        for args in inputs:
            assert_close(compiled(*args), module(*args))
    return count[0]


LENGTHS = (19, 18, 17, 5, 4, 30)


@pytest.mark.parametrize("name", ["FIR delays", "Multirate", "Multirate levels", "LFORouting", "Chain"])
def test_is_compiled_twice_at_most_whatever_the_lengths(name):
    inputs = [(signal(2, time, torch.float32),) for time in LENGTHS]
    assert graphs(build(name, torch.float32), inputs) <= 2


@pytest.mark.parametrize("name", ["FIR delays", "Multirate", "LFORouting"])
def test_segment_ids_are_compiled_twice_at_most(name):
    inputs = [
        (signal(2, time, torch.float32), (torch.arange(time) // 3).expand(2, -1) - 1) for time in LENGTHS
    ]
    assert graphs(build(name, torch.float32), inputs) <= 2


def test_compiling_for_each_length_is_caught():
    class ByLength(nn.Module):
        def forward(self, x):
            return x * dict.fromkeys(LENGTHS, 1.0)[x.shape[1]]

    inputs = [(signal(2, time, torch.float32),) for time in LENGTHS]
    assert graphs(ByLength(), inputs) > 2


# Host syncs

_READS = {"_local_scalar_dense", "item", "nonzero", "is_nonzero", "equal", "masked_select"}


class NoReads(TorchDispatchMode):
    """On a GPU each of these would wait for everything before it."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name.removeprefix("aten::")
        assert name not in _READS, f"{name} reads a value"
        return func(*args, **(kwargs or {}))


def check_no_reads(layer):
    x = signal(2, 12, torch.float32)
    with NoReads():
        layer(x)
        if layer.lookahead == 0:
            _, state = layer.step(x)
            layer.step(x[:, :1], state)


@each
def test_no_value_is_read(name):
    check_no_reads(build(name, torch.float32))


def test_a_read_is_caught():
    class Reads(FIR):
        def process(self, x, state, segments=None):
            y, state = super().process(x, state, segments)
            return y * (1.0 if x.max().item() < 1e9 else 2.0), state

    with pytest.raises(AssertionError, match="_local_scalar_dense reads a value"):
        check_no_reads(Chain(Multirate(WIDTH), LFORouting(WIDTH), Reads(WIDTH)))
