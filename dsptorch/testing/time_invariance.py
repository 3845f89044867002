"""Checks of a layer in time: its period, its receptive field, its independence of the length."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dsptorch.testing._engine.examples import check_example, examined, greatest, noise
from dsptorch.testing._engine.run import Model, output_of
from dsptorch.testing.tolerances import Difference, difference

_CUTS = 64  # lengths or cuts that are tried, at most


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
            found = _differ(shifted, y)
            if found is not None:
                time = found.at[1] + settle
                raise AssertionError(
                    f"shifted by {shift} samples in, the output is not what it was shifted by {shift}: at time "
                    f"{time} (phase {time % period} of {period}) it is off by {found.size:.3g}. The period is another "
                    "one, or there is none (a position that enters), or settle is too short"
                )


def assert_length_invariant(model: Model, example: Tensor, *, lookahead: int = 0) -> None:
    """Assert that what a model gives for the start of a signal does not depend on the signal's length.

        f(x[:n])[t] = f(x)[t]   for all t < n - lookahead, and n = 1, ..., time

    All lengths are tried, or 64 that are spread over them. A sum in another order may round otherwise, so it is
    equal to rounding, not in every bit; `assert_causal` sees what the future changes in the last bit.

    Args:
        model: A module, or any function.
        example: A signal, (batch, time, channels).
        lookahead: Samples that it may look ahead, whose outputs do not count.

    Raises:
        AssertionError: If an output differs: it says which, at which length, and by how much.

    Example:
        >>> from dsptorch import FIR
        >>> assert_length_invariant(FIR(4), torch.randn(1, 9, 4))
        >>> assert_length_invariant(lambda x: x / x.shape[1], torch.randn(1, 9, 4))
        Traceback (most recent call last):
        AssertionError: the output knows the length: of the first 1 of 9 samples alone, at time 0 ...
    """
    x = check_example(example)
    time = x.shape[1]
    with examined(model, x):
        whole = output_of(model, x)
        for n in _spread(1, time):
            kept = max(0, n - lookahead) if n < time else n
            found = _differ(output_of(model, x[:, :n])[:, :kept], whole[:, :kept], greatest(whole))
            if found is not None:
                raise AssertionError(
                    f"the output knows the length: of the first {n} of {time} samples alone, at time {found.at[1]} "
                    f"it is {found.actual:.6g}, but {found.expected:.6g} of all. Look for positions, means or norms "
                    "over time, and padding that depends on the length"
                )


def assert_receptive_field(
    model: Model, example: Tensor, receptive_field: int, *, lookahead: int = 0
) -> None:
    """Assert that no output depends on an input outside its receptive field.

        y[t] is a function of x[t + lookahead - receptive_field + 1], ..., x[t + lookahead]

    The inputs before a time c are replaced (by noise as loud, and 1,000 times as loud), and the outputs from
    c + receptive_field - 1 - lookahead on must stay; the same with what comes after. All times are tried, or
    64 that are spread over them.

    Args:
        model: A module, or any function.
        example: A signal, (batch, time, channels), longer than the receptive field.
        receptive_field: Samples, at least 1.
        lookahead: How many of them lie ahead.

    Raises:
        AssertionError: If an output changes: it says which, by which inputs, and by how much.
        ValueError: If the example is too short for anything to be tested.

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
    with examined(model, x):
        y = output_of(model, x)
        for scale in (1.0, 1e3 if x.dtype != torch.float16 else 30.0):
            other = noise(x, 3) * (scale * x.abs().mean())
            for c in _spread(1, time - 1):
                past = torch.cat([other[:, :c], x[:, c:]], 1)
                found = _differ(output_of(model, past)[:, c + max(memory, 0) :], y[:, c + max(memory, 0) :])
                if found is not None:
                    raise AssertionError(
                        f"the output at time {c + memory + found.at[1]} depends on inputs before time {c}, more "
                        f"than {memory} samples earlier: it changed by {found.size:.3g}. A receptive field of "
                        f"{receptive_field} is too short, or the layer remembers more than it says"
                    )
                future = torch.cat([x[:, :c], other[:, c:]], 1)
                found = _differ(
                    output_of(model, future)[:, : max(0, c - lookahead)], y[:, : max(0, c - lookahead)]
                )
                if found is not None:
                    raise AssertionError(
                        f"the output at time {found.at[1]} depends on inputs from time {c} on, more than "
                        f"{lookahead} samples later: it changed by {found.size:.3g}"
                    )


def _spread(low: int, high: int) -> list[int]:
    """The integers of an interval, or some from end to end."""
    some = torch.linspace(low, high, _CUTS).long().unique().tolist()
    return list(range(low, high + 1)) if high - low < _CUTS else some


def _differ(actual: Tensor, expected: Tensor, scale: float | None = None) -> Difference | None:
    return difference(actual.flatten(2), expected.flatten(2), scale=scale or greatest(expected))
