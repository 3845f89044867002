"""One graph for every batch and time; and none that waits for a number."""

import pytest
import torch
from gpt.arms import Arm, build
from gpt.model import GPTConfig
from torch._dynamo.testing import CompileCounterWithBackend

from dsptorch import FIR
from dsptorch.functional import PeriodicFIR
from dsptorch.testing import assert_compiles, assert_exports, assert_no_host_sync
from tests.layers.dynamic_cases import CORE, EVERY, KINDS, QUICK, RATES, RECURRENT, WAVELETS, build_any
from tests.layers.table import WIDTH, signal
from tests.tolerances import assert_close

quick = pytest.mark.parametrize("name", QUICK)
every = pytest.mark.parametrize("name", EVERY)
kinds = pytest.mark.parametrize("name", KINDS)
folded = pytest.mark.parametrize("name", [name for name in CORE if name != "Multirate unfolded"])
"""The cascade is left out: its graph is the longest by far, and its forward is compiled and exported."""


@quick
def test_exports_for_any_batch_and_time(name):
    assert_exports(build_any(name), signal(3, 11), dynamic=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", RECURRENT)
def test_recurrences_export_for_any_batch_and_time(name):
    """All others do so on their way to ONNX: see test_onnx.py."""
    assert_exports(build_any(name), signal(3, 11), dynamic=True)


def test_a_layer_of_another_rate_exports_for_any_batch_and_time():
    """From a time of M + 1 on: to the exporter a size of 1, that of one block, is always 1."""
    assert_exports(build_any("Decimate"), signal(3, 11), dynamic=True)


@pytest.mark.parametrize("name", ["Multirate"])
def test_compiles_once_for_all_lengths(name):
    assert_compiles(build_any(name), signal(2, 12), backend="aot_eager", dynamic=True)


@pytest.mark.slow
@kinds
def test_every_layer_compiles_once_for_all_lengths(name):
    assert_compiles(build_any(name), signal(2, 12), backend="aot_eager", dynamic=True)


@pytest.mark.parametrize(
    "name", ["Decimate", *(pytest.param(name, marks=pytest.mark.slow) for name in [*RATES[1:], *WAVELETS])]
)
def test_layers_of_another_rate_compile_once_for_all_lengths(name):
    assert_compiles(build_any(name), signal(2, 12), backend="aot_eager", dynamic=True)


def graphs_of_steps(layer):
    """How many graphs a step sample by sample needs, from one position to the next."""
    torch._dynamo.reset()
    graphs = CompileCounterWithBackend("aot_eager")
    step = torch.compile(layer.step, fullgraph=True, backend=graphs)
    x = signal(2, 4 * layer.grid + 3)
    y, state = layer.step(x[:, :1])
    outputs = [y]
    for sample in x[:, 1:].split(1, 1):
        y, state = step(sample, state)
        outputs.append(y)
    assert_close(torch.cat(outputs, 1), layer(x))
    return graphs.frame_count


@pytest.mark.parametrize(
    "name",
    [
        "Decimate",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("ResamplePoly", "Chain to 2/3", "AtRate of an EMA", "Lifting")
        ),
    ],
)
def test_a_step_has_a_graph_for_each_phase(name):
    layer = build_any(name)
    assert graphs_of_steps(layer) <= layer.grid


@pytest.mark.slow
def test_a_step_that_compiles_at_each_position_is_caught():
    class Counts(FIR):
        steps = 0

        def step(self, x, state=None, segment_ids=None):
            self.steps += 1
            y, state = super().step(x, state, segment_ids)
            return y * (1 + 0 * self.steps), state

    assert graphs_of_steps(Counts(WIDTH, dtype=torch.float64)) > 1


def check_steps_compile_once(layer):
    """Chunks of many lengths, from one position to the next."""
    torch._dynamo.reset()
    graphs = CompileCounterWithBackend("aot_eager")
    step = torch.compile(layer.step, fullgraph=True, backend=graphs)
    x, outputs = signal(2, 80), []
    y, state = layer.step(x[:, :5])
    for chunk in x[:, 5:].split([12, 13, 16, 2, 7, 20, 5], 1):
        y, state = step(chunk, state)
        outputs.append(y)
    assert_close(torch.cat(outputs, 1), layer(x)[:, 5:])
    assert graphs.frame_count <= 2


@pytest.mark.parametrize("name", ["LFORouting"])
def test_steps_compile_once_for_all_lengths(name):
    check_steps_compile_once(build_any(name))


@pytest.mark.slow
@folded
def test_steps_of_every_layer_compile_once_for_all_lengths(name):
    check_steps_compile_once(build_any(name))


@pytest.mark.slow
@folded
def test_segment_ids_compile_once_for_all_lengths(name):
    torch._dynamo.reset()
    graphs, layer = CompileCounterWithBackend("aot_eager"), build_any(name)
    compiled = torch.compile(layer, fullgraph=True, backend=graphs)
    for time in (12, 13, 5, 30, 2):
        ids = (torch.arange(time) // 3).expand(2, -1) - 1
        assert_close(compiled(signal(2, time), ids), layer(signal(2, time), ids))
    assert graphs.frame_count <= 2


@pytest.mark.slow
def test_one_graph_of_inductor_for_all_lengths():
    assert_compiles(build_any("Multirate", torch.float32), signal(2, 33, torch.float32), dynamic=True)


def check_segment_ids_export(layer):
    def ids(batch, time):
        return (torch.arange(time) // 3).expand(batch, -1) - 1

    sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("time")}
    program = torch.export.export(layer, (signal(3, 11), ids(3, 11)), dynamic_shapes=(sizes, sizes)).module()
    for batch, time in ((1, 1), (2, 7), (4, 40)):
        x = signal(batch, time)
        assert_close(program(x, ids(batch, time)), layer(x, ids(batch, time)))


def test_segment_ids_export_for_any_batch_and_time():
    check_segment_ids_export(build_any("Multirate"))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CORE if name not in ("Multirate", "Biquad")])
def test_segment_ids_of_every_layer_export(name):
    """But for the one above, and for a second recurrence of two states."""
    check_segment_ids_export(build_any(name))


def test_every_way_of_a_filter_exports():
    """A filter at a lower rate by itself, and a delay, which no layer has."""
    at_rate = PeriodicFIR.fir(torch.rand(2, 3, 1, dtype=torch.float64)).at_rate(3)
    for fold in (True, False):
        assert_exports(lambda x, fold=fold: at_rate(x, fold=fold), signal(3, 11), dynamic=True)


@pytest.mark.slow
def test_a_gpt_with_inserted_layers_compiles_once_for_all_lengths():
    """The recipe's own, with all four kinds; the first length is a graph of its own, all others are one."""
    torch._dynamo.reset()
    torch.manual_seed(0)
    arm = Arm(multirate={}, lfo_routing={}, bottleneck={}, fir={"kernel_size": 6, "init": "delays"})
    model = build(GPTConfig(n_layer=1, n_head=2, d_model=16, context=32), arm).eval()
    graphs = CompileCounterWithBackend("inductor")
    compiled = torch.compile(model, fullgraph=True, backend=graphs)
    for time in (16, 12, 9, 32, 2):
        ids = torch.randint(0, 256, (2, time))
        logits, expected = compiled(ids), model(ids)
        assert_close(logits, expected)
        logits.square().mean().backward()
    assert graphs.frame_count <= 2


# Host syncs


@every
def test_waits_for_no_number(name):
    layer, x = build_any(name), signal()
    assert_no_host_sync(layer, x)
    if layer.lookahead == 0 and layer.streams and layer.grid == 1:  # on the CPU a phase is compared
        assert_no_host_sync(layer.step, x, None)
        _, state = layer.step(x)
        for time in (0, 1, 5):
            assert_no_host_sync(layer.step, x[:, :time], state)
