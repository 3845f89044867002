"""Check that a model passes a constant with unit gain."""

import torch
from torch import Tensor

from dsptorch.testing._engine.examples import check_example, examined
from dsptorch.testing._engine.rates import outputs_before, rate_of
from dsptorch.testing._engine.run import Model, output_of
from dsptorch.testing.tolerances import difference


def assert_unit_dc(model: Model, example: Tensor, *, gain: float = 1.0, settle: int | None = None) -> None:
    """Assert that a model passes a constant with unit gain after it has settled.

        x[t, c] = a_c for all t   =>   y[t, c] = gain * a_c

    Args:
        model: A module, or any function.
        example: Gives shape, dtype and device: (batch, time, channels).
        gain: The expected gain; 0 for a high-pass.
        settle: Number of samples at the start that do not count. None takes the model's `receptive_field` minus 1, or
            half the example. At the end, the model's `lookahead` is left out too.

    Raises:
        AssertionError: If it does not. The message gives the channel, the time and the gain.
        ValueError: If there is nothing to compare.

    Example:
        >>> from dsptorch import FIR
        >>> assert_unit_dc(FIR(4, 5, init="lowpass"), torch.zeros(1, 9, 4))
        >>> assert_unit_dc(FIR(4, 2, init=torch.ones(2, 4)), torch.zeros(1, 9, 4))
        Traceback (most recent call last):
        AssertionError: the gain at DC is not 1: at row 0, time 1, channel 0 it is 2 ...
    """
    x = check_example(example)
    known = getattr(model, "receptive_field", None)
    first = settle if settle is not None else known - 1 if isinstance(known, int) else x.shape[1] // 2
    last = x.shape[1] - int(getattr(model, "lookahead", 0))
    if not 0 <= first < last:
        raise ValueError(f"settle must leave some of {last} samples, got {first}; give a longer example")
    level = 1 + 0.5 * torch.arange(x.shape[2], dtype=x.dtype, device=x.device) / x.shape[2]
    constant = level.expand_as(x).contiguous()
    with examined(model, x):
        rate = rate_of(model)
        first, last = outputs_before(first, rate), outputs_before(last, rate)
        y = output_of(model, constant)[:, first:last]
    measured = y / level
    found = difference(measured, torch.full_like(measured, gain))
    if found is not None:
        row, time, channel = found.at
        raise AssertionError(
            f"the gain at DC is not {gain:g}: at row {row}, time {time + first}, channel {channel} it is "
            f"{found.actual:.6g} (off by {found.size:.3g}). Scale the taps to the sum {gain:g}, see "
            "dsptorch.functional.unit_dc; or let it settle for longer"
        )
