"""Hat weights: exact at integers, linear between, and never without a gradient."""

import math

import pytest
import torch
from hypothesis import strategies as st

from dsptorch.functional import hat_weights
from tests.strategies import fails, holds
from tests.tolerances import assert_close, assert_same


def hat(value, low, high):
    return hat_weights(value, low, high)


def spread(value, low, high):
    """Wider than a hat: no integer has all the weight."""
    return torch.maximum(2 - (value.unsqueeze(-1) - torch.arange(low, high + 1)).abs(), torch.tensor(0.0)) / 4


def dead(value, low, high):
    """clamp passes the whole gradient of a tie to one side, and none of it here."""
    return (1 - (value.unsqueeze(-1) - torch.arange(low, high + 1)).abs()).clamp(min=1e-30)


@st.composite
def cases(draw):
    """(low, high, value)."""
    low = draw(st.integers(-5, 5))
    high = low + draw(st.integers(0, 7))
    return low, high, low + (high - low) * draw(st.floats(0, 1))


def check_interpolates(weights_of, case):
    """The weighted sum of anything on the integers is its linear interpolation."""
    low, high, value = case
    values = torch.randn(high - low + 1, dtype=torch.float64)
    weights = weights_of(torch.tensor(value, dtype=torch.float64), low, high)
    left = min(math.floor(value), high - 1) if high > low else low
    right = values[min(left + 1, high) - low]
    assert_close(weights @ values, values[left - low] + (value - left) * (right - values[left - low]))
    assert_close(weights.sum(), torch.ones((), dtype=torch.float64))


def test_interpolates_between_integers():
    holds(lambda case: check_interpolates(hat, case), cases())
    fails(lambda case: check_interpolates(spread, case), cases())
    fails(lambda case: check_interpolates(lambda v, a, b: hat(v.round(), a, b), case), cases())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_is_exact_at_integers(dtype):
    weights = hat_weights(torch.arange(-2, 4, dtype=dtype), -2, 3)
    assert_same(weights, torch.eye(6, dtype=torch.promote_types(dtype, torch.float32)))


def check_one_sided_mean(weights_of):
    """At an integer the gradient is the mean of those to its left and its right."""
    values = torch.tensor([5.0, 1.0, 2.0, 7.0])
    for integer, expected in ((2.0, (1 - 5 + 2 - 1) / 2), (3.0, (2 - 1 + 7 - 2) / 2), (2.5, 1.0)):
        value = torch.tensor(integer, requires_grad=True)
        (weights_of(value, 1, 4) @ values).backward()
        assert value.grad.item() == pytest.approx(expected)


def test_learns_at_an_integer():
    check_one_sided_mean(hat)
    with pytest.raises(AssertionError):
        check_one_sided_mean(dead)


def test_gradients():
    value = torch.tensor([1.3, 2.7, 3.5], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: hat_weights(v, 1, 4), value, check_forward_ad=True)
    rows = torch.func.vmap(lambda v: hat_weights(v, 1, 4))(value.detach())
    assert_same(rows, hat_weights(value.detach(), 1, 4))
    assert hat_weights(torch.zeros(2, 3), 0, 4).shape == (2, 3, 5)


def test_refuses():
    with pytest.raises(ValueError, match=r"low <= high, got low=3, high=2"):
        hat_weights(torch.tensor(2.0), 3, 2)
    with pytest.raises(TypeError, match=r"floating-point.*got torch\.int64"):
        hat_weights(torch.tensor(2), 1, 3)
