"""Check that a model is linear."""

import torch
from torch import Tensor

from dsptorch.testing._engine.arguments import check_seed
from dsptorch.testing._engine.examples import check_example, examined, greatest, noise
from dsptorch.testing._engine.run import Model, output_of
from dsptorch.testing.tolerances import difference, site


def assert_linear(model: Model, example: Tensor, *, seed: int = 0) -> None:
    """Assert that a model is linear.

        f(a x + b u) = a f(x) + b f(u)

    for noise u and quiet, equal and loud pairs (a, b), and f(0) = 0. So thresholds, dead zones and biases are detected.

    Args:
        model: A module, or any function.
        example: A signal, (batch, time, channels).
        seed: The seed of the noise.

    Raises:
        AssertionError: If it is not linear. The message gives the gains, the place and the difference.

    Example:
        >>> from dsptorch import Multirate
        >>> assert_linear(Multirate(4), torch.randn(1, 12, 4))
        >>> assert_linear(torch.nn.ReLU(), torch.randn(1, 12, 4))
        Traceback (most recent call last):
        AssertionError: not linear: f(a x + b u) is not a f(x) + b f(u) for a = ...
    """
    check_seed(seed)
    x = check_example(example)
    u = noise(x, seed)
    loud = 30.0 if x.dtype == torch.float16 else 1e3
    with examined(model, x):
        silent = output_of(model, torch.zeros_like(x))
        if silent.abs().max() > 0:
            at = site(tuple(int(i) for i in silent.abs().eq(silent.abs().max()).nonzero()[0]))
            raise AssertionError(
                f"not linear: the output of silence is {greatest(silent):.3g} at {at}, not 0. Look for a bias"
            )
        of_x, of_u = output_of(model, x), output_of(model, u)
        for a, b in ((1.0, 1.0), (-1.0, 0.0), (-0.7, 2.3), (loud, -loud / 2), (1 / loud, 0.5 / loud)):
            expected = a * of_x + b * of_u
            found = difference(output_of(model, a * x + b * u), expected, scale=greatest(a * of_x, b * of_u))
            if found is not None:
                raise AssertionError(
                    f"not linear: f(a x + b u) is not a f(x) + b f(u) for a = {a:g} and b = {b:g}, the most at {found}"
                )
