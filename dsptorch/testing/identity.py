"""Does a model return its input?"""

from torch import Tensor

from dsptorch.functional.validate import check_bools
from dsptorch.testing._engine.compare import check_late
from dsptorch.testing._engine.examples import check_example, examined
from dsptorch.testing._engine.run import Model, output_of


def assert_identity(model: Model, example: Tensor, *, delay: int = 0, exact: bool = False) -> None:
    """Assert that a model returns its input, late by a delay.

        y[t] = x[t - delay],   0 before

    Args:
        model: A module, or any function.
        example: A signal, (batch, time, channels).
        delay: Samples, at least 0.
        exact: Whether every bit must be equal, rather than equal to rounding.

    Raises:
        AssertionError: If it does not: it says where and by how much, and what delay and gain would fit better.

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
