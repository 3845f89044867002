"""Does a model commute with shifts of time?"""

import torch.nn.functional as F
from torch import Tensor

from dsptorch.testing._engine.compare import differ
from dsptorch.testing._engine.examples import check_example, examined
from dsptorch.testing._engine.run import Model, output_of


def assert_shift_covariant(model: Model, example: Tensor, period: int, *, settle: int = 0) -> None:
    """Assert that a model commutes with shifts of time by multiples of a period.

        f(S x) = S f(x),   (S x)[t] = x[t - n * period],   n = 1, 2

    Periods that divide it may do as well: this one need not be the smallest.

    Args:
        model: A module, or any function.
        example: A signal, (batch, time, channels), some periods long.
        period: Samples, at least 1; 1 is time invariance.
        settle: Samples at the start that do not count: what the silence before it leaves behind. With a bias
            or an activation that is not 0 at 0 it is the receptive field less one.

    Raises:
        AssertionError: If an output differs: it says when, at which phase, and by how much.
        ValueError: If nothing is left to compare.

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
    with examined(model, x):
        y = output_of(model, x)[:, settle:]
        for shift in (period, 2 * period):
            shifted = output_of(model, F.pad(x, (0, 0, shift, 0)))[:, shift + settle :]
            found = differ(shifted, y)
            if found is not None:
                time = found.at[1] + settle
                raise AssertionError(
                    f"shifted by {shift} samples in, the output is not what it was shifted by {shift}: at time "
                    f"{time} (phase {time % period} of {period}) it is off by {found.size:.3g}. The period is another "
                    "one, or there is none (a position that enters), or settle is too short"
                )
