"""Check that gradients are correct."""

import copy
import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.autograd.gradcheck import gradcheck, gradgradcheck

from dsptorch.functional.validate import check_bools
from dsptorch.testing._engine.examples import brief, check_example, examined
from dsptorch.testing._engine.rates import rate_of
from dsptorch.testing._engine.run import Model, output_of


def assert_gradients(
    model: Model,
    example: Tensor,
    *,
    second: bool = True,
    forward_mode: bool = False,
    fast: bool = True,
    unused: bool = False,
) -> None:
    """Assert that a model's gradients equal the derivatives of its function, in float64.

        d f / d v  =  (f(v + eps) - f(v - eps)) / (2 eps)

    for the input and every learned parameter, and the same for the gradients themselves. The check runs
    `torch.autograd.gradcheck` and `gradgradcheck` on a copy in float64, and names the wrong derivative.

    Args:
        model: A module or function that is differentiable near the example. A kink within 1e-6 of a value looks like an
            error.
        example: A signal, (batch, time, channels); 1 row of about 10 samples is enough.
        second: Whether to check second derivatives.
        forward_mode: Whether to check forward-mode derivatives (jvp).
        fast: Whether to check one random direction for each, instead of the whole Jacobian, whose cost is quadratic in
            the number of values.
        unused: Whether parameters without any gradient are allowed.

    Raises:
        AssertionError: If a derivative is wrong or missing. The message names its variable and order.

    Example:
        >>> from dsptorch import FIR
        >>> assert_gradients(FIR(2, 3), torch.randn(1, 6, 2))
        >>> assert_gradients(lambda x: x * x.detach(), torch.randn(1, 6, 2))
        Traceback (most recent call last):
        AssertionError: the gradient in the input is wrong: ...
    """
    check_bools(second=second, forward_mode=forward_mode, fast=fast, unused=unused)
    x = check_example(example).double()
    names, values, call = _as_function(model, x)
    with examined(model, x, gradients=True), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", ".*torch.jit.script", DeprecationWarning
        )  # of torch's own decompositions
        y = call(*values)
        if not y.requires_grad:
            raise AssertionError("the output has no gradient at all. Look for detach(), .data, or no_grad")
        found = torch.autograd.grad(y.sum(), values, allow_unused=True, retain_graph=True)
        missing = [name for name, gradient in zip(names, found, strict=True) if gradient is None]
        if missing and not (unused and "the input" not in missing):
            raise AssertionError(
                f"no gradient reaches {', '.join(missing)}. Use it, freeze it by requires_grad_(False), or pass "
                "unused=True"
            )
        keep = [i for i, gradient in enumerate(found) if gradient is not None]

        def first(call: Callable[..., Tensor], inputs: Sequence[Tensor]) -> None:
            gradcheck(call, inputs, fast_mode=fast, check_forward_ad=forward_mode)

        def again(call: Callable[..., Tensor], inputs: Sequence[Tensor]) -> None:
            gradgradcheck(call, inputs, fast_mode=fast)

        orders = [("gradient", first)] + [("second derivative", again)] * second
        for order, check in orders:
            _check(order, check, call, names, values, keep)


def _check(
    order: str,
    check: Callable[..., None],
    call: Callable[..., Tensor],
    names: Sequence[str],
    values: Sequence[Tensor],
    keep: Sequence[int],
) -> None:
    """Check all values at once; if that fails, one after another, to name the first that is wrong."""

    def of(chosen: Sequence[int]) -> Callable[..., Tensor]:
        def function(*inputs: Tensor) -> Tensor:
            every = [value.detach() for value in values]
            for i, value in zip(chosen, inputs, strict=True):
                every[i] = value
            return call(*every)

        return function

    try:
        check(of(keep), tuple(values[i] for i in keep))
    except Exception as error:
        for i in keep:
            try:
                check(of([i]), (values[i],))
            except Exception as one:
                raise AssertionError(f"the {order} in {names[i]} is wrong: {brief(one)}") from one
        raise AssertionError(f"the {order} is wrong: {brief(error)}") from error


def _as_function(model: Model, x: Tensor) -> tuple[list[str], tuple[Tensor, ...], Callable[..., Tensor]]:
    """The model as a function of the input and of its parameters, in float64."""
    leaf = x.clone().requires_grad_()
    if not isinstance(model, nn.Module):
        return ["the input"], (leaf,), lambda x: output_of(model, x)
    twin = copy.deepcopy(model).double().eval()
    learned = {name: p.detach().clone() for name, p in twin.named_parameters() if p.requires_grad}

    def call(x: Tensor, *values: Tensor) -> Tensor:
        parameters = dict(zip(learned, values, strict=True))
        return output_of(lambda x: torch.func.functional_call(twin, parameters, (x,)), x, rate_of(model))

    names = ["the input", *(f"parameter {name!r}" for name in learned)]
    return names, (leaf, *(value.requires_grad_() for value in learned.values())), call
