"""The rate of a model: the number of outputs due after a number of inputs, and the input of each output."""

from fractions import Fraction
from typing import Any

from dsptorch.functional.timeline import outputs_before

__all__ = ["brief_rate", "grid_of", "input_of", "outputs_before", "rate_of"]

Rate = Fraction | int | None


def rate_of(model: Any, rate: Rate = None) -> Fraction:
    """The rate of a model in output samples per input sample.

    Args:
        model: A module, or any function.
        rate: The rate, if the caller gives it. None: the attribute `rate` of the model if that is a positive Fraction,
            as in a `dsptorch.Layer`; 1 otherwise.

    Raises:
        TypeError, ValueError: If the rate that was given is not a positive int or Fraction.

    Example:
        >>> from dsptorch import Decimate
        >>> rate_of(Decimate(4, 3)), rate_of(abs), rate_of(abs, 2)
        (Fraction(1, 3), Fraction(1, 1), Fraction(2, 1))
    """
    if rate is None:
        found = getattr(model, "rate", None)
        return found if isinstance(found, Fraction) and found > 0 else Fraction(1)
    if isinstance(rate, bool) or not isinstance(rate, int | Fraction):
        raise TypeError(f"rate must be an int or a fractions.Fraction, got {rate!r}")
    if rate <= 0:
        raise ValueError(f"rate must be positive, got {rate}")
    return Fraction(rate)


def grid_of(model: Any, rate: Rate = None) -> int:
    """The number of inputs after which a model begins a new block: its attribute `grid`, or the rate's denominator.

    Example:
        >>> from dsptorch import AtRate, FIR
        >>> grid_of(AtRate(FIR(4), 3)), grid_of(abs, Fraction(2, 5))
        (3, 5)
    """
    found = getattr(model, "grid", None)
    if isinstance(found, int) and not isinstance(found, bool) and found > 0:
        return found
    return rate_of(model, rate).denominator


def input_of(output: int, rate: Fraction) -> int:
    """The input at whose time an output stands and is due: floor(n / rate)."""
    return output * rate.denominator // rate.numerator


def brief_rate(output: int, rate: Fraction) -> str:
    """An output time in words, with its input where the rate is not 1."""
    return f"{output}" if rate == 1 else f"{output} (input {input_of(output, rate)})"
