"""Every layer runs in onnxruntime, whole and step by step, for every batch and time."""

import io

import pytest
import torch
from torch.export import Dim
from torch.utils import _pytree as pytree

from tests.layers.table import CAUSAL, LAYERS, build, signal
from tests.layers.test_dynamic import SIZES, Step
from tests.tolerances import assert_close

onnxruntime = pytest.importorskip("onnxruntime", reason="pip install onnx onnxscript onnxruntime")
pytest.importorskip("onnxscript")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),
]  # the exporter warns of torch's own code


def session(module, args, dynamic_shapes):
    program = torch.onnx.export(module, args, dynamo=True, dynamic_shapes=dynamic_shapes, verbose=False)
    file = io.BytesIO()
    program.save(file)
    return onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])


def run(onnx, *args):
    leaves = [leaf.detach().numpy() for leaf in pytree.tree_leaves(args)]
    inputs = {entry.name: leaf for entry, leaf in zip(onnx.get_inputs(), leaves, strict=True)}
    return [torch.from_numpy(output) for output in onnx.run(None, inputs)]


@pytest.mark.parametrize("name", LAYERS)
def test_forward(name):
    layer = build(name, torch.float32).eval()
    onnx = session(layer, (signal(3, 11, torch.float32),), ({0: Dim("batch"), 1: Dim("time")},))
    for batch, time in SIZES:
        x = signal(batch, time, torch.float32)
        assert_close(run(onnx, x)[0], layer(x))


@pytest.mark.parametrize("name", CAUSAL)
def test_step(name):
    layer = build(name, torch.float32).eval()
    x = signal(3, 11, torch.float32)
    _, state = layer.step(x)
    batch = Dim("batch")
    sizes = {"x": {0: batch, 1: Dim("time")}, "state": pytree.tree_map(lambda _: {0: batch}, state)}
    onnx = session(Step(layer), (x, state), sizes)
    for rows, time in SIZES:
        x = signal(rows, time + 9, torch.float32)
        _, state = layer.step(x[:, :9])
        expected = pytree.tree_leaves(layer.step(x[:, 9:], state))
        for mine, its in zip(run(onnx, x[:, 9:], state), expected, strict=True):
            assert_close(mine, its)
