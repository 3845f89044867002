"""The kernel against a loop, its derivatives in every mode, its precision, and what it keeps for backward."""

import pytest
import torch
from hypothesis import strategies as st
from torch.autograd.gradcheck import GradcheckError, gradcheck, gradgradcheck

from dsptorch.functional import lptv, lptv_filter
from tests.oracles import lptv_loop
from tests.strategies import fails, holds
from tests.tolerances import assert_close


@st.composite
def cases(draw):
    """(x, weight, lags): any period, lags that look ahead or are dilated, empty signals, shared weights."""
    period, channels = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    lags = tuple(draw(st.lists(st.integers(-6, 9), min_size=1, max_size=5, unique=True)))
    batch, time = draw(st.integers(0, 3)), draw(st.integers(0, 12))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    width = draw(st.sampled_from([1, channels]))
    x = torch.randint(-4, 5, (batch, time, channels), generator=generator).double()
    return x, torch.randint(-4, 5, (period, len(lags), width), generator=generator).double(), lags


def check_kernel(kernel, case):
    x, weight, lags = case
    y = kernel(x, weight, lags)
    assert y.shape == x.shape
    assert y.dtype == x.dtype
    assert torch.equal(y, lptv_loop(x, weight, lags))


def test_equals_the_loop():
    holds(lambda case: check_kernel(lptv_filter, case), cases())


def _wrap_around(x, weight, lags):
    period, time = weight.shape[0], x.shape[1]
    phases = torch.arange(time) % period
    return sum(weight[phases, i] * x.roll(lag, 1) for i, lag in enumerate(lags))


@pytest.mark.parametrize(
    "broken",
    [
        lambda x, weight, lags: lptv_filter(x, weight.roll(1, 0), lags),
        lambda x, weight, lags: lptv_filter(x, weight, tuple(abs(lag) for lag in lags)),
        lambda x, weight, lags: lptv_filter(x, weight[:, :-1], lags[:-1]),
        lambda x, weight, lags: lptv_filter(x, weight[..., :1], lags),
        _wrap_around,
    ],
    ids=["next phase", "no lookahead", "a tap less", "one channel's weights", "circular"],
)
def test_the_loop_catches(broken):
    fails(lambda case: check_kernel(broken, case), cases())


def test_no_taps_is_silence():
    assert torch.equal(lptv_filter(torch.randn(1, 4, 2), torch.randn(2, 0, 2), ()), torch.zeros(1, 4, 2))


DERIVATIVES = {
    "plain": (1, (0, 1, 2), 2),
    "periodic": (3, (0, 1, 4), 2),
    "lookahead": (2, (-3, -1, 0, 2), 2),
    "shared weights": (3, (-1, 0, 2), 1),
}


def _double(period, lags, width, time=5, batch=2):
    x = torch.randn(batch, time, 2, dtype=torch.float64, requires_grad=True)
    return x, torch.randn(period, len(lags), width, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize(("period", "lags", "width"), DERIVATIVES.values(), ids=DERIVATIVES)
def test_first_and_second_derivatives(period, lags, width, batch):
    inputs = _double(period, lags, width, batch=batch)
    assert gradcheck(
        lambda x, w: lptv_filter(x, w, lags),
        inputs,
        check_forward_ad=True,
        check_batched_grad=True,
        check_batched_forward_grad=True,
    )
    assert gradgradcheck(
        lambda x, w: lptv_filter(x, w, lags), inputs, check_fwd_over_rev=True, check_batched_grad=True
    )


def test_gradcheck_catches_a_backward_without_the_roll_of_the_phases(monkeypatch):
    monkeypatch.setattr(lptv, "_reverse", lambda weight, lags: (weight, tuple(-lag for lag in lags)))
    with pytest.raises(GradcheckError):
        gradcheck(lambda x, w: lptv_filter(x, w, (0, 1, 2)), _double(3, (0, 1, 2), 2))


def test_gradgradcheck_catches_a_wrong_second_derivative(monkeypatch):
    inputs = _double(2, (0, 1), 2)
    backward = lptv._Correlation.backward

    def broken(ctx, weight):
        grad_x, grad_v, *rest = backward(ctx, weight)
        return grad_x, None if grad_v is None else 2 * grad_v, *rest

    monkeypatch.setattr(lptv._CorrelationWithJvp, "backward", staticmethod(broken))
    assert gradcheck(lambda x, w: lptv_filter(x, w, (0, 1)), inputs)
    with pytest.raises(GradcheckError):
        gradgradcheck(lambda x, w: lptv_filter(x, w, (0, 1)), inputs)


class TestFunc:
    """torch.func against the loop, which autograd differentiates by itself."""

    lags = (-1, 0, 3)

    def loss(self, kernel):
        return lambda x, w: (kernel(x, w, self.lags) ** 2).sum()

    def loop(self, x, w, lags):
        """The loop again, of operations that torch.func can follow."""
        padded = torch.nn.functional.pad(x, (0, 0, 3, 1))
        phases = torch.arange(x.shape[1]) % w.shape[0]
        return sum(w[phases, i] * padded[:, 3 - lag : 3 - lag + x.shape[1]] for i, lag in enumerate(lags))

    @pytest.fixture
    def inputs(self):
        return torch.randn(2, 5, 2, dtype=torch.float64), torch.randn(2, 3, 2, dtype=torch.float64)

    def test_the_reference_is_the_loop(self, inputs):
        assert_close(self.loop(*inputs, self.lags), lptv_loop(*inputs, self.lags))

    @pytest.mark.parametrize("argument", [0, 1])
    def test_grad(self, inputs, argument):
        ours, reference = (torch.func.grad(self.loss(k), argument)(*inputs) for k in (lptv_filter, self.loop))
        assert_close(ours, reference)

    @pytest.mark.parametrize("argument", [0, 1])
    def test_hessian(self, inputs, argument):
        ours, reference = (
            torch.func.hessian(self.loss(k), argument)(*inputs) for k in (lptv_filter, self.loop)
        )
        assert_close(ours, reference)

    @pytest.mark.parametrize("argument", [0, 1])
    def test_jacobians_in_both_modes(self, inputs, argument):
        reference = torch.func.jacrev(lambda x, w: self.loop(x, w, self.lags), argument)(*inputs)
        for mode in (torch.func.jacrev, torch.func.jacfwd):
            assert_close(mode(lambda x, w: lptv_filter(x, w, self.lags), argument)(*inputs), reference)

    def test_jvp(self, inputs):
        tangents = tuple(torch.randn_like(value) for value in inputs)
        value, tangent = torch.func.jvp(lambda x, w: lptv_filter(x, w, self.lags), inputs, tangents)
        (x, w), (dx, dw) = inputs, tangents
        assert_close(value, lptv_loop(x, w, self.lags))
        assert_close(tangent, lptv_loop(dx, w, self.lags) + lptv_loop(x, dw, self.lags))

    @pytest.mark.parametrize("in_dims", [(0, None), (None, 0), (0, 0)])
    def test_vmap(self, inputs, in_dims):
        args = [
            value if dim is None else torch.stack([value, -2 * value, value + 1])
            for value, dim in zip(inputs, in_dims, strict=True)
        ]
        ours = torch.func.vmap(lambda x, w: lptv_filter(x, w, self.lags), in_dims)(*args)
        for i in range(3):
            one = [value if dim is None else value[i] for value, dim in zip(args, in_dims, strict=True)]
            assert_close(ours[i], lptv_loop(*one, self.lags))

    def test_gradients_of_every_row_by_vmap(self, inputs):
        x, w = inputs
        ours = torch.func.vmap(lambda row: torch.func.grad(self.loss(lptv_filter), 1)(row[None], w))(x)
        for row, grad in zip(x, ours, strict=True):
            assert_close(grad, torch.func.grad(self.loss(self.loop), 1)(row[None], w))


def check_rounded_once(kernel, dtype):
    """The result in half precision is the exact one, rounded once: sums are taken in float32."""
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(2, 40, 3, generator=generator).to(dtype)
    lags = tuple(range(64))
    for weight in (
        torch.rand(2, 64, 3, generator=generator),
        torch.rand(2, 64, 1, generator=generator).to(dtype),
    ):
        y = kernel(x, weight, lags)
        assert y.dtype == dtype
        exact = lptv_loop(x, weight, lags)
        assert ((y.double() - exact).abs() <= exact.abs() * torch.finfo(dtype).eps * 0.51).all()


def check_weight_gradient_in_float32(kernel, dtype):
    x = torch.rand(4, 4096, 1, generator=torch.Generator().manual_seed(0)).to(dtype)
    weight = torch.ones(1, 1, 1, requires_grad=True)
    kernel(x, weight, (0,)).float().sum().backward()
    assert abs(weight.grad.item() / x.double().sum().item() - 1) < 1e-4


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_accumulates_in_float32(dtype):
    check_rounded_once(lptv_filter, dtype)
    check_weight_gradient_in_float32(lptv_filter, dtype)


def _half_sums(x, weight, lags):
    padded = torch.nn.functional.pad(x, (0, 0, max(lags), 0))
    phases = torch.arange(x.shape[1]) % weight.shape[0]
    y = torch.zeros_like(x)
    for i, lag in enumerate(lags):
        y = y + padded[:, max(lags) - lag : max(lags) - lag + x.shape[1]] * weight.to(x.dtype)[phases, i]
    return y


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_sums_in_half_precision_are_caught(dtype):
    with pytest.raises(AssertionError):
        check_rounded_once(_half_sums, dtype)


def check_saves_its_inputs_at_most(kernel, dtype):
    x = torch.randn(2, 50, 8, dtype=dtype, requires_grad=True)
    weight = torch.randn(2, 6, 8, requires_grad=True)
    storages = {}

    def pack(tensor):
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y = kernel(x, weight, tuple(range(6)))
    assert sum(storages.values()) <= x.untyped_storage().nbytes() + weight.untyped_storage().nbytes()
    y.sum().backward()
    assert x.grad.dtype == x.dtype
    assert weight.grad.dtype == weight.dtype


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_saves_its_inputs_at_most(dtype):
    check_saves_its_inputs_at_most(lptv_filter, dtype)
    check_saves_its_inputs_at_most(lambda x, w, lags: lptv_filter(x, w[..., :1], lags), dtype)


def test_saving_a_converted_copy_is_caught():
    with pytest.raises(AssertionError):
        check_saves_its_inputs_at_most(
            lambda x, w, lags: lptv_filter(x.float(), w, lags).to(x.dtype), torch.bfloat16
        )
    with pytest.raises(AssertionError):
        check_saves_its_inputs_at_most(_half_sums, torch.float32)


@pytest.mark.parametrize(("period", "lags", "width"), [(1, (0, 1, 2), 2), (3, (-1, 0, 2), 1)])
def test_compiles_to_one_graph_with_its_backward(period, lags, width):
    torch._dynamo.reset()
    compiled = torch.compile(lambda x, w: lptv_filter(x, w, lags), fullgraph=True, backend="aot_eager")
    x, w = _double(period, lags, width, time=7)
    v = torch.randn_like(x)
    y, expected = compiled(x, w), lptv_filter(x, w, lags)
    assert_close(y, expected)
    for ours, eager in zip(
        torch.autograd.grad(y, (x, w), v), torch.autograd.grad(expected, (x, w), v), strict=True
    ):
        assert_close(ours, eager)


def test_changes_no_argument():
    x, w = torch.randn(2, 5, 3), torch.randn(2, 3, 3)
    before = x.clone(), w.clone()
    lptv_filter(x, w, (0, 1, 2)).add_(1)
    assert torch.equal(x, before[0])
    assert torch.equal(w, before[1])
