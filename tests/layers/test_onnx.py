"""ONNX: every layer, whole and step by step, for any batch and time, gives in onnxruntime what it gives here."""

import io
import itertools

import pytest
import torch
from torch import nn
from torch.utils import _pytree as pytree

from dsptorch.layers.lfo import Oscillators
from tests.layers.dynamic_cases import CORE, KINDS, RATES, WAVELETS, build_any
from tests.layers.table import signal
from tests.tolerances import assert_close

pytest.importorskip("onnx", reason="torch.onnx needs onnx: pip install onnx onnxscript")
pytest.importorskip("onnxscript", reason="torch.onnx needs onnxscript: pip install onnx onnxscript")
onnxruntime = pytest.importorskip("onnxruntime", reason="what is exported runs in onnxruntime")

pytestmark = pytest.mark.filterwarnings(
    "ignore"
)  # of torch's exporter, and of onnxscript: several, of themselves

BATCH, TIME = torch.export.Dim("batch"), torch.export.Dim("time")
SIZES = [(3, 11), (1, 1), (2, 8), (4, 41)]
EMPTY = (2, 0)
POSITIONS = 7, 7 * 10**11


class Step(nn.Module):
    """A step from the tensors of a state: torch.onnx takes no empty tuple, which is what a part of a state may be."""

    def __init__(self, layer, state):
        super().__init__()
        self.layer, self.spec = layer, pytree.tree_structure(state)

    def forward(self, x, *tensors):
        return self.layer.step(x, pytree.tree_unflatten(tensors, self.spec))


def exported(module, args, shapes):
    """The session of an ONNX program, as a function of the module's arguments: a list of tensors.

    What is converted is the program of `torch.export`, so that each test here proves that its layer exports, too.
    """
    exported = torch.export.export(module, args, dynamic_shapes=shapes)
    program = torch.onnx.export(exported, dynamo=True, verbose=False)
    file = io.BytesIO()
    program.save(file)
    session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]

    def run(*args):
        leaves = [leaf.numpy() for leaf in pytree.tree_leaves(args)]
        return list(map(torch.from_numpy, session.run(None, dict(zip(names, leaves, strict=True)))))

    return run


def noise(batch, time):
    return signal(batch, time, torch.float32)


@torch.no_grad()
def check_forward(layer, time=TIME, sizes=(*SIZES, EMPTY)):
    run = exported(layer, (noise(3, 11),), ({0: BATCH, 1: time},))
    for size in sizes:
        (y,) = run(noise(*size))
        assert_close(y, layer(noise(*size)))


@torch.no_grad()
def check_step(layer, sizes=SIZES, positions=POSITIONS):
    _, state = layer.step(noise(3, 7))
    tensors = pytree.tree_leaves(state)
    shapes = {"x": {0: BATCH, 1: TIME}, "tensors": tuple({0: BATCH} for _ in tensors)}
    run = exported(Step(layer, state), (noise(3, 11), *tensors), shapes)
    for (batch, time), position in itertools.product(sizes, positions):
        _, state = layer.step(noise(batch, 7))
        state = pytree.tree_map(
            lambda leaf, by=position // 7: leaf if leaf.is_floating_point() else leaf * by, state
        )
        expected = pytree.tree_leaves(layer.step(noise(batch, time), state))
        for ours, theirs in zip(run(noise(batch, time), state), expected, strict=True):
            assert ours.dtype == theirs.dtype
            assert_close(ours.double(), theirs.double()) if theirs.dtype == torch.int64 else assert_close(
                ours, theirs
            )


def is_recurrent(name):
    """Recurrences are blocked by the length with which they are exported: see docs/recurrences.md."""
    return any(word in name for word in ("EMA", "Resonator", "Biquad", "SOS", "recurrence", "allpass"))


def test_a_layer_in_onnx():
    check_forward(build_any("FIR lowpass", torch.float32))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in KINDS if not is_recurrent(name)])
def test_every_layer_in_onnx(name):
    check_forward(build_any(name, torch.float32))


@pytest.mark.slow
@pytest.mark.parametrize("name", [*RATES, *WAVELETS])
def test_layers_of_another_rate_in_onnx(name):
    """From a time of M + 1 on, as they export."""
    check_forward(
        build_any(name, torch.float32), torch.export.Dim("time", min=5), [(3, 11), (1, 5), (2, 8), (4, 41)]
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name for name in CORE if not is_recurrent(name) and name != "Multirate unfolded"]
)
def test_steps_of_every_layer_in_onnx(name):
    """The cascade is left out, as from the compiled steps."""
    layer = build_any(name, torch.float32)
    grouped = any(isinstance(part, Oscillators) for part in layer.modules())
    # onnxruntime refuses to reshape no samples to an unknown number, as repeat_interleave of groups of channels does.
    # And it rounds a learned frequency in its own way, which a far position multiplies.
    sizes, positions = (SIZES, POSITIONS[:1]) if grouped else ([*SIZES, EMPTY], POSITIONS)
    check_step(layer, sizes, positions)


@pytest.mark.slow
def test_a_far_phase_in_onnx():
    """The phase of an oscillator is a product of integers that wraps, there as here."""
    check_step(build_any("LFORouting", torch.float32))


def test_other_numbers_are_caught():
    class Other(nn.Module):
        def forward(self, x):
            return x * (2.0 if torch.compiler.is_exporting() else 1.0)

    with pytest.raises(AssertionError):
        check_forward(Other())
