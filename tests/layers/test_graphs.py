"""Every layer compiles to one graph, whole and step by step, and exports."""

import pytest
import torch

import dsptorch
from dsptorch.testing import assert_compiles, assert_exports
from tests.layers.dynamic_cases import KINDS, RATES, WAVELETS
from tests.layers.table import ONE_OF_EACH_KIND, WIDTH, build, signal
from tests.tolerances import assert_close

OTHERS = [name for name in ONE_OF_EACH_KIND if name not in (*KINDS, *RATES, *WAVELETS)]
"""Those that test_dynamic.py does not compile."""


@pytest.mark.parametrize(
    "name", ["Multirate", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)]
)
def test_compiles_to_one_graph(name):
    assert_compiles(build(name), signal(2, 7), backend="aot_eager")


def test_a_graph_break_is_caught():
    class Breaks(dsptorch.FIR):
        def process(self, x, memory, timeline):
            torch._dynamo.graph_break()
            return super().process(x, memory, timeline)

    with pytest.raises(AssertionError, match="Unsupported"):
        assert_compiles(Breaks(WIDTH), signal(2, 7, torch.float32), backend="aot_eager")


def check_compiled_step(layer, backend):
    """One graph for a first chunk, one for the steps after it, and the numbers of the whole."""
    torch._dynamo.reset()
    x = signal(2, 12, torch.float32)
    step = torch.compile(layer.step, fullgraph=True, backend=backend)
    y, state = step(x[:, :8])
    outputs = [y]
    for t in range(8, 12):
        y, state = step(x[:, t : t + 1], state)
        outputs.append(y)
    assert_close(torch.cat(outputs, 1), layer(x))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Multirate"])
def test_step_compiles_to_one_graph(name):
    check_compiled_step(build(name, torch.float32), "aot_eager")


@pytest.mark.slow
def test_step_compiles_by_inductor():
    check_compiled_step(build("FIR delays", torch.float32), "inductor")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "dtype"),
    [("ChannelBottleneck", torch.float32), ("Multirate", torch.bfloat16)],
)
def test_compiles_by_inductor(name, dtype):
    torch._dynamo.reset()
    layer, x = build(name, dtype), signal(2, 33, dtype).requires_grad_()
    compiled = torch.compile(layer, fullgraph=True)
    for length in (33, 17):
        y = compiled(x[:, :length])
        y.float().square().sum().backward()
        assert_close(y, layer(x[:, :length]))


@pytest.mark.parametrize("name", ["FIR identity", "LFORouting", "Residual"])
def test_exports(name):
    assert_exports(build(name), signal(2, 7))
