"""Every public functional operation: its definition, its derivatives, its dtypes, its graph, and its arguments kept."""

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

import dsptorch.functional
from dsptorch.testing import assert_close, assert_no_mutation
from tests.functional.table import OPERATIONS, Operation
from tests.strategies import fails, holds

each = pytest.mark.parametrize("name", OPERATIONS)


def missing(table, names):
    return set(names) ^ {name.split(",")[0] for name in table}


def test_the_table_is_complete():
    assert not missing(OPERATIONS, dsptorch.functional.__all__)
    assert missing(OPERATIONS, [*dsptorch.functional.__all__, "new"]) == {"new"}


def as_tuple(value):
    return value if isinstance(value, tuple) else (value,)


def cast(case, dtype):
    return [v.to(dtype) if isinstance(v, Tensor) and v.is_floating_point() else v for v in case]


def check_definition(operation: Operation, case) -> None:
    results, expected = as_tuple(operation.call(*case)), as_tuple(operation.oracle(*case))
    for mine, its in zip(results, expected, strict=True):
        assert_close(mine, torch.as_tensor(its))


@each
def test_is_its_definition(name):
    operation = OPERATIONS[name]
    holds(lambda case: check_definition(operation, case), operation.cases)

    def off(*case):
        return tuple(y + 1e-6 for y in as_tuple(operation.call(*case)))

    fails(lambda case: check_definition(operation._replace(call=off), case), operation.cases)


def check_derivatives(operation: Operation, case) -> None:
    learned = [i for i, v in enumerate(case) if isinstance(v, Tensor) and v.is_floating_point()]

    def call(*values):
        inputs = list(case)
        for i, value in zip(learned, values, strict=True):
            inputs[i] = value
        return as_tuple(operation.call(*inputs))

    inputs = [case[i].clone().requires_grad_() for i in learned]
    assert torch.autograd.gradcheck(call, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(call, inputs, fast_mode=True)


@pytest.mark.parametrize("name", [name for name in OPERATIONS if OPERATIONS[name].differentiable])
def test_derivatives(name):
    operation = OPERATIONS[name]
    run = given(operation.cases)(lambda case: check_derivatives(operation, case))
    settings(max_examples=max(2, settings().max_examples // 10))(run)()


def test_a_missing_derivative_is_caught():
    operation = OPERATIONS["lptv_filter"]
    half = operation._replace(call=lambda x, w: operation.call(x, w.detach()) + 0 * w.sum())
    with pytest.raises(RuntimeError, match="Jacobian"):
        check_derivatives(half, (torch.ones(1, 4, 2).double(), torch.ones(2, 3, 2).double()))


def check_dtype(operation: Operation, case, dtype) -> None:
    """As exact as the dtype of the inputs, and of the result, allow."""
    if not any(isinstance(v, Tensor) and v.is_floating_point() for v in case):
        return  # whole numbers are exact
    low = cast(case, dtype)
    for mine, exact in zip(
        as_tuple(operation.call(*low)), as_tuple(operation.call(*cast(low, torch.float64))), strict=True
    ):
        assert mine.is_floating_point()
        scale = max(1.0, exact.abs().max().item()) if exact.numel() else 1.0
        assert_close(mine, exact, dtype=dtype, scale=scale)


@each
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_lower_precision(name, dtype):
    operation = OPERATIONS[name]
    run = given(operation.cases)(lambda case: check_dtype(operation, case, dtype))
    settings(max_examples=max(3, settings().max_examples // 5))(run)()


def test_a_sum_in_half_precision_is_caught():
    operation = OPERATIONS["unit_dc"]._replace(
        call=lambda taps: (taps * 3000).sum(0, keepdim=True) - (taps * 3000)[:1]
    )
    with pytest.raises(AssertionError, match="differs"):
        check_dtype(operation, (torch.full((40, 1), 3.3),), torch.float16)


@each
def test_changes_no_argument(name):
    operation = OPERATIONS[name]
    run = given(operation.cases)(lambda case: assert_no_mutation(operation.call, *case))
    settings(max_examples=5)(run)()


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in OPERATIONS if OPERATIONS[name].compiles])
def test_compiles_to_one_graph(name):
    operation = OPERATIONS[name]
    compiled = []

    def check(case):
        if not compiled:
            torch._dynamo.reset()
            compiled.append(torch.compile(operation.call, fullgraph=True, backend="aot_eager"))
        for mine, eager in zip(as_tuple(compiled[0](*case)), as_tuple(operation.call(*case)), strict=True):
            assert_close(mine, eager)

    settings(max_examples=3)(given(operation.cases)(check))()
