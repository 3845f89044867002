"""Check that a model sees no more of the signal than its receptive field."""

import torch
from torch import Tensor

from dsptorch.testing._engine.compare import differ, spread
from dsptorch.testing._engine.examples import check_example, examined, noise
from dsptorch.testing._engine.rates import Rate, brief_rate, outputs_before, rate_of
from dsptorch.testing._engine.run import Model, output_of


def assert_receptive_field(
    model: Model, example: Tensor, receptive_field: int, *, lookahead: int = 0, rate: Rate = None
) -> None:
    """Assert that no output depends on an input outside its receptive field.

        y[n] is a function of x[t + lookahead - receptive_field + 1], ..., x[t + lookahead],   t = floor(n / rate)

    The inputs before a time c are replaced (by noise of the same loudness, and 1,000 times as loud), and the outputs at
    c + receptive_field - 1 - lookahead and later must not change. The same is done for later inputs. All times are
    tried, or 64 spread over them.

    Args:
        model: A module, or any function.
        example: A signal, (batch, time, channels), longer than the receptive field.
        receptive_field: The receptive field in samples, at least 1.
        lookahead: Number of these samples that lie ahead.
        rate: Output samples per input sample, an int or a Fraction. None: `model.rate` if that is a Fraction, else 1.

    Raises:
        AssertionError: If an output changes. The message gives the output, the inputs and the change.
        ValueError: If the example is too short for the check.

    Example:
        >>> from dsptorch import FIR
        >>> assert_receptive_field(FIR(2, 4, init="lowpass"), torch.randn(1, 12, 2), 4)
        >>> assert_receptive_field(FIR(2, 4, init="lowpass"), torch.randn(1, 12, 2), 3)
        Traceback (most recent call last):
        AssertionError: the output at time ... depends on inputs before time ..., more than 2 samples earlier...
    """
    x = check_example(example)
    time, memory = x.shape[1], receptive_field - 1 - lookahead
    if receptive_field < 1 or lookahead < 0 or memory + 1 >= time:
        raise ValueError(
            f"receptive_field must be from 1 to less than the example's {time + lookahead} samples, and lookahead at "
            f"least 0, got {receptive_field} and {lookahead}; give a longer example"
        )
    rate = rate_of(model, rate)
    with examined(model, x):
        y = output_of(model, x, rate)
        for scale in (1.0, 1e3 if x.dtype != torch.float16 else 30.0):
            other = noise(x, 3) * (scale * x.abs().mean())
            for c in spread(1, time - 1):
                past = torch.cat([other[:, :c], x[:, c:]], 1)
                first = outputs_before(c + max(memory, 0), rate)
                found = differ(output_of(model, past, rate)[:, first:], y[:, first:])
                if found is not None:
                    at = brief_rate(first + found.at[1], rate)
                    raise AssertionError(
                        f"the output at time {at} depends on inputs before time {c}, more "
                        f"than {memory} samples earlier: it changed by {found.size:.3g}. A receptive field of "
                        f"{receptive_field} is too short, or the layer remembers more than it says"
                    )
                future = torch.cat([x[:, :c], other[:, c:]], 1)
                last = outputs_before(max(0, c - lookahead), rate)
                found = differ(output_of(model, future, rate)[:, :last], y[:, :last])
                if found is not None:
                    at = brief_rate(found.at[1], rate)
                    raise AssertionError(
                        f"the output at time {at} depends on inputs from time {c} on, more than "
                        f"{lookahead} samples later: it changed by {found.size:.3g}"
                    )
