"""The kernel in half precision, and the memory that it keeps for its backward pass."""

import pytest
import torch
import torch.nn.functional as F

from dsptorch.functional import find_segments, lptv_filter
from tests.oracles import lptv_loop


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


def _rows(x, weight, lags):
    return lptv_filter(x, weight.expand(len(x), *weight.shape), lags)


def _segments(x, weight, lags):
    return lptv_filter(x, weight, lags, segments=find_segments(torch.zeros(x.shape[:2], dtype=torch.int64)))


def _history(x, weight, lags):
    return lptv_filter(F.pad(x, (0, 0, 4, 0)), weight, lags, history=4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    "kernel", [lptv_filter, _rows, _segments, _history], ids=lambda kernel: kernel.__name__
)
def test_half_precision_accumulates_in_float32(kernel, dtype):
    check_rounded_once(kernel, dtype)
    check_weight_gradient_in_float32(kernel, dtype)


def _half_sums(x, weight, lags):
    padded = F.pad(x, (0, 0, max(lags), 0))
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
