"""Check that a model returns its input."""

from torch import Tensor

from dsptorch.functional.validate import check_bools
from dsptorch.testing._engine.compare import check_late
from dsptorch.testing._engine.examples import check_example, examined
from dsptorch.testing._engine.run import Model, output_of


def assert_identity(model: Model, example: Tensor, *, delay: int = 0, exact: bool = False) -> None:
    """Assert that a model returns its input with a delay.

        y[t] = x[t - delay],   0 before

    Args:
        model: A module, or any function.
        example: A signal, (batch, time, channels).
        delay: The delay in samples, at least 0.
        exact: Whether the output must be bit-identical, instead of equal within rounding.

    Raises:
        AssertionError: If it does not. The message gives the place, the error, and a better delay and gain if any.

    Example:
        >>> import torch
        >>> from dsptorch import Blend, Delay, Multirate
        >>> assert_identity(Blend(Multirate(4)), torch.randn(2, 9, 4), exact=True)
        >>> assert_identity(Delay(4, 2), torch.randn(2, 9, 4), delay=1)
        Traceback (most recent call last):
        AssertionError: not the identity late by 1: it differs at row ... It is the input late by 2, times 1
    """
    check_bools(exact=exact)
    x = check_example(example)
    if not 0 <= delay < x.shape[1]:
        raise ValueError(f"delay must leave some of {x.shape[1]} samples, got {delay}; give a longer example")
    with examined(model, x):
        y = output_of(model, x)
    check_late(y, x, delay, 0, exact, "not the identity" + (f" late by {delay}" if delay else ""))
