"""Check that the output does not depend on the length of the signal."""

from torch import Tensor

from dsptorch.testing._engine.compare import differ, spread
from dsptorch.testing._engine.examples import check_example, examined, greatest
from dsptorch.testing._engine.rates import Rate, outputs_before, rate_of
from dsptorch.testing._engine.run import Model, output_of


def assert_length_invariant(model: Model, example: Tensor, *, lookahead: int = 0, rate: Rate = None) -> None:
    """Assert that the output for the start of a signal does not depend on the signal's length.

        f(x[:n])[t] = f(x)[t]   for all t < ceil((n - lookahead) * rate), and n = 1, ..., time

    The law of lengths is checked too: n samples give ceil(n * rate) outputs. All lengths are tried, or 64 spread over
    them. Outputs must be equal within rounding, because sums in another order round differently; `assert_causal`
    detects changes of the last bit.

    Args:
        model: A module, or any function.
        example: A signal, (batch, time, channels).
        lookahead: Lookahead of the model in samples; the last outputs do not count.
        rate: Output samples per input sample, an int or a Fraction. None: `model.rate` if that is a Fraction, else 1.

    Raises:
        AssertionError: If an output differs. The message gives the output, the length and the difference.

    Example:
        >>> import torch
        >>> from dsptorch import FIR
        >>> assert_length_invariant(FIR(4), torch.randn(1, 9, 4))
        >>> assert_length_invariant(lambda x: x / x.shape[1], torch.randn(1, 9, 4))
        Traceback (most recent call last):
        AssertionError: the output knows the length: of the first 1 of 9 samples alone, at time 0 ...
    """
    x = check_example(example)
    time, rate = x.shape[1], rate_of(model, rate)
    with examined(model, x):
        whole = output_of(model, x, rate)
        for n in spread(1, time):
            kept = outputs_before(max(0, n - lookahead) if n < time else n, rate)
            found = differ(output_of(model, x[:, :n], rate)[:, :kept], whole[:, :kept], greatest(whole))
            if found is not None:
                raise AssertionError(
                    f"the output knows the length: of the first {n} of {time} samples alone, at time {found.at[1]} "
                    f"it is {found.actual:.6g}, but {found.expected:.6g} of all. Look for positions, means or norms "
                    "over time, and padding that depends on the length"
                )
