"""Changes of rate and filterbanks under autograd in every mode, in half precision, compiled and exported."""

import pytest
import torch
from torch.autograd.gradcheck import GradcheckError, gradcheck, gradgradcheck

from dsptorch.functional import polyphase, trilinear
from tests.functional.resample_cases import EVERY, double, exact
from tests.tolerances import assert_close

QUICK = ["decimate", "upsample", "rational", "matrix", "matrix, shared", "analysis", "synthesis, matrix"]
graphs = pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[] if kind in QUICK else pytest.mark.slow) for kind in EVERY]
)


@pytest.mark.parametrize("kind", EVERY)
def test_first_and_second_derivatives(kind):
    run, inputs = double(kind, 5)
    assert gradcheck(
        run,
        inputs,
        check_forward_ad=True,
        check_batched_grad=True,
        check_batched_forward_grad=True,
        fast_mode=True,
    )
    assert gradgradcheck(run, inputs, check_fwd_over_rev=True, check_batched_grad=True, fast_mode=True)


@pytest.mark.parametrize("kind", ["rational", "matrix", "analysis", "synthesis, matrix"])
def test_gradcheck_catches_a_wrong_adjoint(kind, monkeypatch):
    module, name = polyphase, "_filter" if kind == "rational" else "matrix_filter"
    filter_ = getattr(module, name)

    def broken(signal, taps, grid, *, adjoint):
        return filter_(signal, taps.flip(0) if adjoint else taps, grid, adjoint=adjoint)

    monkeypatch.setattr(module, name, broken)
    with pytest.raises(GradcheckError):
        gradcheck(*double(kind))


def test_gradgradcheck_catches_a_wrong_second_derivative(monkeypatch):
    backward = trilinear._Trilinear.backward

    def broken(ctx, gradient):
        *none, first, second, position, following = backward(ctx, gradient)
        second = 2 * second if ctx.slot == trilinear.W and second is not None else second
        return *none, first, second, position, following

    monkeypatch.setattr(trilinear._TrilinearWithJvp, "backward", staticmethod(broken))
    run, inputs = double("rational")
    assert gradcheck(run, inputs)
    with pytest.raises(GradcheckError):
        gradgradcheck(run, inputs)


@pytest.mark.parametrize("kind", EVERY)
def test_jvp_and_vmap(kind):
    run, (x, taps) = double(kind)
    dx, dtaps = torch.randn_like(x), torch.randn_like(taps)
    value, tangent = torch.func.jvp(run, (x, taps), (dx, dtaps))
    assert_close(value, run(x, taps))
    assert_close(tangent, run(dx, taps) + run(x, dtaps))  # it is bilinear
    for in_dims in [(0, None), (None, 0), (0, 0)]:
        many = [
            torch.stack([value, -2 * value]) if dim == 0 else value
            for value, dim in zip((x, taps), in_dims, strict=True)
        ]
        factor = (-2) ** sum(dim == 0 for dim in in_dims)
        assert_close(torch.func.vmap(run, in_dims)(*many), torch.stack([value, factor * value]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", EVERY)
def test_half_precision_rounds_once(kind, dtype):
    run, given = double(kind, 400)
    x, taps = (torch.rand(value.shape) for value in given)
    x = x.to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = run(x, taps.requires_grad_())
    assert y.dtype == dtype
    best = exact(kind, x.double(), taps.detach().double())
    assert ((y.double() - best).abs() <= best.abs() * torch.finfo(dtype).eps * 0.51).all()
    y.float().sum().backward()
    ones = torch.ones_like(best)
    expected = torch.autograd.functional.vjp(lambda h: run(x.double(), h), taps.detach().double(), ones)
    assert torch.allclose(taps.grad.double(), expected[1], rtol=1e-4)


@pytest.mark.slow
@graphs
def test_one_graph_for_many_lengths(kind):
    torch._dynamo.reset()
    run, (like, taps) = double(kind)
    made = []

    def backend(graph, inputs):
        made.append(graph)
        return graph

    compiled = torch.compile(run, fullgraph=True, backend=backend)
    for batch, time in [(2, 16), (3, 17), (4, 30), (2, 33), (5, 8)]:
        x = torch.randn(batch, time, like.shape[2], dtype=torch.float64)
        assert_close(compiled(x, taps), run(x, taps))
    assert len(made) <= 2  # the first is for one length


@pytest.mark.slow
@graphs
def test_compiles_with_its_backward(kind):
    torch._dynamo.reset()
    run, inputs = double(kind, 7)
    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    y, expected = compiled(*inputs), run(*inputs)
    v = torch.randn_like(y)
    for ours, eager in zip(
        torch.autograd.grad(y, inputs, v), torch.autograd.grad(expected, inputs, v), strict=True
    ):
        assert_close(ours, eager)


class _Module(torch.nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.run, (self.like, taps) = double(kind)
        self.taps = torch.nn.Parameter(taps.detach().float())

    def forward(self, x):
        return self.run(x, self.taps)


@pytest.mark.slow
@graphs
def test_exports(kind):
    module, dim = _Module(kind), torch.export.Dim
    shapes = ({0: dim("batch"), 1: dim("time", min=4)},)
    channels = module.like.shape[2]
    program = torch.export.export(module, (torch.randn(2, 16, channels),), dynamic_shapes=shapes)
    for batch, time in [(1, 4), (3, 17), (2, 33)]:
        x = torch.randn(batch, time, channels)
        assert_close(program.module()(x), module(x))
