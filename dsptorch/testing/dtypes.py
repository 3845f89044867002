"""Check that a model keeps the dtype of its input and computes accurately in it."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dsptorch.functional.validate import check_bools
from dsptorch.layers import Layer
from dsptorch.testing._engine.arguments import check_positive
from dsptorch.testing._engine.examples import check_example, examined, greatest
from dsptorch.testing._engine.run import Model, output_of
from dsptorch.testing.tolerances import difference

ALL = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
_LOUD = 1e3  # its square exceeds the range of float16


def assert_dtypes(
    model: Model,
    example: Tensor,
    *,
    dtypes: Sequence[torch.dtype] = ALL,
    autocast: bool = True,
    loud: bool = True,
    factor: float = 1.0,
) -> None:
    """Assert that a model works in every floating-point dtype: it keeps the dtype, and errs only by rounding.

        | f_dtype(x) - f_64(x) |  <=  the dtype's tolerance          (`dsptorch.testing.tolerances`)

    f_64 is the same model with the same rounded weights on the same rounded input, computed in float64. The gradients
    must be finite and have the dtype of their tensors. In float16 a signal 1,000 times as loud is tried too, if float16
    can hold the result; a model that squares it internally overflows. Under autocast to bfloat16 a float32 example must
    give float32 or bfloat16 (a `dsptorch.Layer`: float32), within bfloat16's tolerance. A `dsptorch.Layer` in float32
    must also accept bfloat16, also in chunks whose dtype changes, and return the dtype of its input.

    Args:
        model: A module, or any function; modules are tested on copies.
        example: A signal, (batch, time, channels), with values of about 1.
        dtypes: The dtypes to test.
        autocast: Whether to test autocast.
        loud: Whether to test the loud signal.
        factor: A factor for the tolerances, finite and above 0, for models of many layers.

    Raises:
        AssertionError: If a dtype does not work. The message names it and the error.
        ValueError: If the factor is not a finite number above 0.

    Example:
        >>> from dsptorch import FIR
        >>> assert_dtypes(FIR(4), torch.randn(2, 7, 4))
        >>> assert_dtypes(lambda x: (x * x).mean(-1, keepdim=True).sqrt() + x, torch.randn(2, 7, 4))
        Traceback (most recent call last):
        AssertionError: in torch.float16, on a signal 1000 times as loud, the output is not finite at ...
    """
    check_bools(autocast=autocast, loud=loud)
    check_positive("factor", factor)
    x = check_example(example)
    x = x / max(greatest(x), 1.0)
    with examined(model, x):
        for dtype in dtypes:
            _check(model, x.to(dtype), dtype, factor, "")
            if loud and dtype == torch.float16:
                _check(model, (x * _LOUD).to(dtype), dtype, factor, f", on a signal {_LOUD:g} times as loud,")
        if isinstance(model, Layer):
            _check_mixed(model, x)
    if autocast:
        with examined(model, x, gradients=True):
            _check_autocast(model, x.float(), factor)


def _check(model: Model, x: Tensor, dtype: torch.dtype, factor: float, how: str) -> None:
    low = _cast(model, dtype)
    exact = _cast(low, torch.float64)
    expected = output_of(exact, x.double())
    if greatest(expected) > torch.finfo(dtype).max / 4:
        return
    try:
        y = output_of(low, x)
    except Exception as error:
        raise AssertionError(f"in {dtype}{how} it fails: {type(error).__name__}: {error}") from error
    if y.dtype != dtype:
        raise AssertionError(
            f"in {dtype}{how} the output is {y.dtype}; give back the input's dtype: y.to(x.dtype)"
        )
    _compare(y, expected, dtype, factor, f"in {dtype}{how}")
    with torch.enable_grad():
        leaf = x.clone().requires_grad_()
        y = output_of(low, leaf)
        if y.requires_grad and not how:
            y.float().sum().backward()
            _check_gradients(low, leaf, f"in {dtype}")


def _check_autocast(model: Model, x: Tensor, factor: float) -> None:
    low = _cast(model, torch.float32)
    leaf = x.clone().requires_grad_()
    try:
        with torch.autocast(x.device.type, torch.bfloat16):
            y = output_of(low, leaf)
    except Exception as error:
        raise AssertionError(
            f"under autocast to bfloat16 it fails: {type(error).__name__}: {error}"
        ) from error
    allowed = (torch.float32,) if isinstance(model, Layer) else (torch.float32, torch.bfloat16)
    if y.dtype not in allowed:
        raise AssertionError(
            f"under autocast to bfloat16 a float32 input gives {y.dtype}, expected {allowed}"
        )
    _compare(y.detach(), output_of(low, x).detach(), torch.bfloat16, factor, "under autocast to bfloat16")
    if y.requires_grad:
        y.float().sum().backward()
        _check_gradients(low, leaf, "under autocast to bfloat16")


def _check_mixed(layer: Layer, x: Tensor) -> None:
    twin = copy.deepcopy(layer).float()
    half = x.to(torch.bfloat16)
    given: list[tuple[Tensor, Tensor | None, str]] = [(half, None, "bfloat16, to a layer in float32,")]
    if layer.lookahead == 0 and layer.streams:
        for first, then in ((torch.float32, torch.bfloat16), (torch.bfloat16, torch.float32)):
            given.append((x.to(then), x.to(first), f"a chunk in {then} after one in {first}"))
    for chunk, before, what in given:
        try:
            y = twin(chunk) if before is None else twin.step(chunk, twin.step(before)[1])[0]
        except Exception as error:
            raise AssertionError(f"{what} fails: {type(error).__name__}: {error}") from error
        if y.dtype != chunk.dtype:
            raise AssertionError(f"{what} gives {y.dtype}; give back the input's dtype: y.to(x.dtype)")
        if before is None:
            _compare(y, output_of(_cast(twin, torch.float64), half.double()), torch.bfloat16, 1.0, what)


def _compare(y: Tensor, expected: Tensor, dtype: torch.dtype, factor: float, how: str) -> None:
    bad = expected.isfinite() & ~y.isfinite()
    if bad.any():
        row, time, channel = (int(i) for i in bad.flatten(2).nonzero()[0])
        raise AssertionError(
            f"{how} the output is not finite at row {row}, time {time}, channel {channel}, where in float64 it is "
            f"{expected.flatten(2)[row, time, channel].item():.6g}. Square, sum and exponentiate in float32"
        )
    scale = max(greatest(expected), 1.0)
    found = difference(y.double() / (factor * scale), expected.double() / (factor * scale), dtype=dtype)
    if found is not None:
        raise AssertionError(
            f"{how} the output is further from float64's than rounding is, relative to the greatest, {scale:.3g}, at "
            f"{found}. Accumulate in float32; keep frequencies, phases and gains in float32"
        )


def _check_gradients(model: Model, leaf: Tensor, how: str) -> None:
    named = dict(model.named_parameters()) if isinstance(model, nn.Module) else {}
    for name, value in {"the input": leaf, **{f"parameter {n!r}": p for n, p in named.items()}}.items():
        gradient = value.grad
        if gradient is not None and gradient.dtype != value.dtype:
            raise AssertionError(f"{how} the gradient in {name} is {gradient.dtype}, expected {value.dtype}")
        if gradient is not None and not gradient.isfinite().all():
            raise AssertionError(f"{how} the gradient in {name} is not finite")


def _cast(model: Model, dtype: torch.dtype) -> Model:
    if not isinstance(model, nn.Module):
        return model
    twin = copy.deepcopy(model).to(dtype)
    twin.zero_grad()
    return twin
