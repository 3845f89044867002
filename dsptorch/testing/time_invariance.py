"""Check that a model commutes with shifts of time."""

import torch.nn.functional as F
from torch import Tensor

from dsptorch.testing._engine.compare import differ
from dsptorch.testing._engine.examples import check_example, examined
from dsptorch.testing._engine.rates import Rate, input_of, outputs_before, rate_of
from dsptorch.testing._engine.run import Model, output_of


def assert_shift_covariant(
    model: Model, example: Tensor, period: int, *, settle: int = 0, rate: Rate = None
) -> None:
    """Assert that a model commutes with shifts of time by multiples of a period.

        f(S x) = S f(x),   (S x)[t] = x[t - n * period],   n = 1, 2

    At other rates than 1, the output is shifted by n * period * rate. The period need not be the smallest one.

    Args:
        model: A module, or any function.
        example: A signal, (batch, time, channels), several periods long.
        period: The period in samples, at least 1; 1 means time invariance.
        settle: Number of samples at the start that do not count, because they depend on the silence before the signal.
            With a bias, or an activation that is not 0 at 0, it is the receptive field minus 1.
        rate: Output samples per input sample, an int or a Fraction. None: `model.rate` if that is a Fraction, else 1.

    Raises:
        AssertionError: If an output differs. The message gives the time, the phase and the difference.
        ValueError: If there is nothing to compare, or period * rate is not an integer.

    Example:
        >>> import torch
        >>> from dsptorch import Multirate
        >>> assert_shift_covariant(Multirate(4, 3), torch.randn(1, 20, 4), 3)
        >>> assert_shift_covariant(Multirate(4, 3), torch.randn(1, 20, 4), 2)
        Traceback (most recent call last):
        AssertionError: shifted by 2 samples in, the output is not what it was shifted by 2: at time ...
    """
    x = check_example(example, least=2)
    if period < 1:
        raise ValueError(f"period must be at least 1 sample, got {period}")
    if not 0 <= settle < x.shape[1]:
        raise ValueError(
            f"settle must leave some of {x.shape[1]} samples, got {settle}; give a longer example"
        )
    rate = rate_of(model, rate)
    if (period * rate).denominator > 1:
        raise ValueError(
            f"period * rate must be an integer, got {period} * {rate}; give a multiple of {rate.denominator}"
        )
    first = outputs_before(settle, rate)
    if first >= outputs_before(x.shape[1], rate):
        raise ValueError(
            f"settle must leave some outputs of {x.shape[1]} samples, got {settle}; give a longer example"
        )
    with examined(model, x):
        y = output_of(model, x, rate)[:, first:]
        for shift in (period, 2 * period):
            later = output_of(model, F.pad(x, (0, 0, shift, 0)), rate)
            shifted = later[:, outputs_before(shift, rate) + first :]
            found = differ(shifted, y)
            if found is not None:
                time = found.at[1] + first
                late, phase = outputs_before(shift, rate), input_of(time, rate) % period
                raise AssertionError(
                    f"shifted by {shift} samples in, the output is not what it was shifted by {late}: at time "
                    f"{time} (phase {phase} of {period}) it is off by {found.size:.3g}. The period is another "
                    "one, or there is none (a position that enters), or settle is too short"
                )
