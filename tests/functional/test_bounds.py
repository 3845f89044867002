"""A bounded value never leaves its interval, comes back from its raw value, and learns."""

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dsptorch.functional.bounds import from_bounded, to_bounded

# Forward-mode differentiation and Inductor import parts of torch that torch itself scripts.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")

TINY = 1e-44  # a few of the smallest subnormal numbers
HALF_MAX = float(torch.tensor(1.7e38))
RAW = torch.cat(
    [torch.linspace(-120, 120, 193), torch.randn(200, generator=torch.Generator().manual_seed(0))]
)
BOUND = st.floats(-HALF_MAX, HALF_MAX, width=32)
POSITIVE = st.floats(2.0**-100, 2.0**119, width=32)  # more, and the gradient overflows
INTERVAL = st.tuples(BOUND, BOUND).map(sorted).filter(lambda b: b[0] < b[1])
LOG_INTERVAL = st.tuples(POSITIVE, POSITIVE).map(sorted).filter(lambda b: b[0] < b[1])


def _escapes(value, low, high):
    value = value.double()
    return bool(((value < low) | (value > high) | value.isnan()).any())


@settings(deadline=None)
@given(INTERVAL)
def test_never_escapes(bounds):
    assert not _escapes(to_bounded(RAW, *bounds), *bounds)


@settings(deadline=None)
@given(LOG_INTERVAL)
def test_never_escapes_on_a_log_scale(bounds):
    raw = RAW.clone().requires_grad_()
    value = to_bounded(raw, *bounds, log=True)
    assert not _escapes(value.detach(), *bounds)
    assert torch.autograd.grad(value, raw, torch.ones_like(raw))[0].isfinite().all()


def test_the_check_catches_the_usual_formulas():
    low, high = torch.randn(2, 500, generator=torch.Generator().manual_seed(0)).sort(0).values
    weight = torch.sigmoid(RAW)[:, None]
    usual = weight * (high - low) + low
    assert (usual > high).any(0).float().mean() > 0.02
    assert not (torch.lerp(low, high, weight) > high).any()
    low, high = low.exp(), high.exp()
    unclamped = torch.exp(torch.lerp(low.log(), high.log(), weight))
    assert ((unclamped > high) | (unclamped < low)).any()


@settings(deadline=None)
@given(INTERVAL)
def test_increases_up_to_one_rounding(bounds):
    value = to_bounded(RAW.sort().values, *bounds)
    spacing = torch.finfo(torch.float32).eps * value.abs().max()
    assert (value.diff() >= -spacing - TINY).all()
    assert value[-1] > value[0]


@settings(deadline=None)
@given(INTERVAL, st.floats(0.001, 0.999))
def test_round_trip(bounds, unit):
    low, high = bounds
    value = low + unit * (high - low)
    assume(low < value < high)
    back = to_bounded(from_bounded(value, low, high), low, high)
    assert back.item() == pytest.approx(value, abs=1e-6 * max(abs(low), abs(high)) + TINY)


@settings(deadline=None)
@given(LOG_INTERVAL, st.floats(0.001, 0.999))
def test_round_trip_on_a_log_scale(bounds, unit):
    low, high = bounds
    value = math.exp(math.log(low) + unit * (math.log(high) - math.log(low)))
    assume(low < value < high)
    back = to_bounded(from_bounded(value, low, high, log=True), low, high, log=True)
    assert back.item() == pytest.approx(value, rel=1e-4)  # exp amplifies the rounding of a logarithm near 88


def test_round_trip_catches_a_swapped_scale():
    back = to_bounded(from_bounded(0.1, 0.01, 1.0, log=True), 0.01, 1.0, log=False)
    assert back.item() != pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize("log", [False, True])
def test_a_value_on_a_bound_sits_one_percent_inside(log):
    low, high = 0.01, 100.0
    for bound, unit in ((low, 0.01), (high, 0.99)):
        value = to_bounded(from_bounded(bound, low, high, log=log), low, high, log=log).item()
        expected = low * (high / low) ** unit if log else low + unit * (high - low)
        assert value == pytest.approx(expected, rel=1e-5)


def test_a_value_on_a_bound_as_float32_rounds_it_is_inside():
    assert float(torch.tensor(0.3)) > 0.3
    assert from_bounded(torch.tensor(0.3), 0.1, 0.3).isfinite()
    saturated = to_bounded(torch.tensor([-200.0, 200.0]), 0.1, 0.3)
    assert from_bounded(saturated, 0.1, 0.3).isfinite().all()


@pytest.mark.parametrize("log", [False, True])
def test_gradients(log):
    raw = torch.tensor([-3.0, 0.0, 2.0], dtype=torch.float64, requires_grad=True)

    def bounded(r):
        return to_bounded(r, 0.5, 8.0, log=log)

    assert torch.autograd.gradcheck(bounded, raw, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(bounded, raw)
    plain = raw.detach()
    expected = torch.autograd.grad(bounded(raw).sum(), raw)[0]
    torch.testing.assert_close(torch.func.vmap(torch.func.grad(bounded))(plain), expected)
    value, tangent = torch.func.jvp(bounded, (plain,), (torch.ones_like(plain),))
    torch.testing.assert_close((value, tangent), (bounded(plain), expected))


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compiles_to_one_graph(log, backend):
    torch._dynamo.reset()
    compiled = torch.compile(lambda r: to_bounded(r, 0.1, 0.3, log=log), fullgraph=True, backend=backend)
    raw = RAW.clone().requires_grad_()
    value = compiled(raw)
    torch.testing.assert_close(value, to_bounded(RAW, 0.1, 0.3, log=log))
    assert not _escapes(value.detach(), float(torch.tensor(0.1)), float(torch.tensor(0.3)))
    value.sum().backward()
    assert raw.grad.isfinite().all()


@pytest.mark.parametrize(
    ("given_dtype", "dtype"),
    [(torch.float16, torch.float32), (torch.bfloat16, torch.float32), (torch.float64, torch.float64)],
)
def test_is_float32_at_least(given_dtype, dtype):
    assert to_bounded(torch.zeros(2, dtype=given_dtype), 0.0, 1.0).dtype == dtype
    assert from_bounded(torch.full((2,), 0.5, dtype=given_dtype), 0.0, 1.0).dtype == dtype


@pytest.mark.parametrize(
    ("low", "high", "log", "message"),
    [
        (1.0, 1.0, False, "low < high, got low=1.0, high=1.0"),
        (2.0, 1.0, False, "low < high"),
        (0.0, math.inf, False, "finite"),
        (math.nan, 1.0, False, "finite"),
        (0.0, 1.0, True, "low > 0, got low=0.0"),
        (-1.0, 1.0, True, "low > 0"),
        (-3e38, 3e38, False, "must fit in torch.float32"),
        (0.0, 1e39, False, "must fit in torch.float32"),
    ],
)
def test_refuses_bad_bounds(low, high, log, message):
    with pytest.raises(ValueError, match=message):
        to_bounded(torch.zeros(1), low, high, log=log)
    with pytest.raises(ValueError, match=message):
        from_bounded(0.5, low, high, log=log)


def test_refuses_bad_values():
    for value in (-0.1, 1.1, math.nan, math.inf):
        with pytest.raises(ValueError, match=r"must lie in \[0.0, 1.0\], got"):
            from_bounded(value, 0.0, 1.0)
    with pytest.raises(ValueError, match=r"got 2\.0"):
        from_bounded(torch.tensor([0.5, 2.0]), 0.0, 1.0)
    with pytest.raises(TypeError, match=r"torch\.int64"):
        to_bounded(torch.tensor([1]), 0.0, 1.0)
    with pytest.raises(TypeError, match=r"torch\.int64"):
        from_bounded(torch.tensor([1]), 0.0, 1.0)
