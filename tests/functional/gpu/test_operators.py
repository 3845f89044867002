"""The kernels as operators: derivatives of any order, batching, compilation, export, autocast, checkpoints."""

import pytest
import torch
from torch.autograd.gradcheck import gradcheck, gradgradcheck
from torch.utils.checkpoint import checkpoint

import dsptorch
from dsptorch.functional import lptv_filter
from dsptorch.functional.gpu.periodic import periodic_correlation, periodic_filter
from tests.functional.kernel_cases import KINDS
from tests.tolerances import assert_close

each_kind = pytest.mark.parametrize("kind", ["periodic", "rows, history", "segments, history"])


def drawn(kind: str, device: str, time: int = 3):
    """A use of the kernel on a device; its segments are there already."""
    if KINDS[kind].ids is not None and device != "cpu":
        pytest.skip("its segment ids are on the CPU")
    return KINDS[kind].filter, [
        part.detach().to(device).requires_grad_() for part in KINDS[kind].inputs(time, batch=1)
    ]


@each_kind
def test_derivatives_of_both_orders(device, kind):
    run, inputs = drawn(kind, device)
    assert gradcheck(run, inputs, check_forward_ad=True, fast_mode=True)
    assert gradgradcheck(run, inputs, fast_mode=True)


def test_is_batched_by_vmap(device):
    x, weight = torch.randn(3, 2, 5, 4, device=device), torch.randn(3, 2, 3, 4, device=device)
    y = torch.func.vmap(lambda x, w: lptv_filter(x, w, (0, 1, 3)))(x, weight)
    loop = torch.stack([lptv_filter(one, w, (0, 1, 3)) for one, w in zip(x, weight, strict=True)])
    assert_close(y, loop)


@pytest.mark.parametrize("adjoint", [False, True])
def test_the_filter_is_a_torch_operator(device, adjoint):
    x, weight = torch.randn(2, 7, 3, device=device), torch.randn(1, 2, 3, 3, device=device)
    length = 9 if adjoint else 5
    arguments = (x, weight, [0, 1, 2], 2, length, None, None, adjoint)
    torch.library.opcheck(periodic_filter, arguments)


def test_the_correlation_is_a_torch_operator(device):
    x, v = torch.randn(2, 7, 3, device=device), torch.randn(2, 5, 3, device=device)
    torch.library.opcheck(periodic_correlation, (x, v, [0, 1, 2], 2, 2, True, None, None))


def trained(layer, x, ids=None):
    """The output, and the gradients of the input and of all weights."""
    x = x.detach().clone().requires_grad_()
    layer.zero_grad()
    y = layer(x) if ids is None else layer(x, ids)
    y.square().sum().backward()
    found = [y.detach(), x.grad, *(p.grad for p in layer.parameters() if p.grad is not None)]
    return [part.clone() for part in found]


def same(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other, scale=30)


@pytest.mark.parametrize("segments", [False, True])
def test_compiles_without_a_graph_break(device, segments):
    layer = dsptorch.Multirate(4, downsample=2).to(device)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    for time in (8, 5):
        x = torch.randn(2, time, 4, device=device)
        ids = (torch.arange(time, device=device) // 3).expand(2, -1) if segments else None
        same(trained(compiled, x, ids), trained(layer, x, ids))


def test_a_graph_holds_the_operator_and_an_exported_program_does_not(device):
    layer, x = dsptorch.FIR(4, kernel_size=3).to(device), torch.randn(2, 6, 4, device=device)
    graphs = []

    def backend(graph, _):
        graphs.append(graph)
        return graph

    from torch._dynamo.backends.common import aot_autograd

    with torch.no_grad():
        torch.compile(layer, fullgraph=True, backend=aot_autograd(fw_compiler=backend))(x)
    assert any("dsptorch.periodic_filter" in str(node.target) for g in graphs for node in g.graph.nodes)
    program = torch.export.export(layer, (x,))
    assert not any("dsptorch." in str(node.target) for node in program.graph.nodes)
    assert_close(program.module()(x), layer(x))


def test_autocast_and_checkpoints_change_nothing(device):
    layer, x = dsptorch.FIR(4, kernel_size=3).to(device), torch.randn(2, 6, 4, device=device)
    expected = trained(layer, x)
    with torch.autocast(device, torch.bfloat16):
        same(trained(layer, x), expected)

    class Again(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            return checkpoint(self.layer, x, use_reentrant=False)

    same(trained(Again(), x), expected)
