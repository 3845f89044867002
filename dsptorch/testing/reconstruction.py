"""Check that the synthesis of a filterbank restores the signal from its analysis."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from dsptorch.testing._engine.compare import check_late
from dsptorch.testing._engine.examples import check_example, examined

Bank = Any
"""An object with `analysis` and `synthesis`; or a pair of such functions; or their composition, signal to signal."""


def assert_perfect_reconstruction(
    bank: Bank, example: Tensor, *, delay: int | None = None, margin: int = 0
) -> None:
    """Assert that a filterbank's synthesis restores the signal from its analysis, with a delay.

        synthesis(analysis(x))[t] = x[t - delay]

    Args:
        bank: An object with `analysis` and `synthesis`; a pair (analysis, synthesis) of functions; or one function from
            signal to signal that does both. The form of the bands between the two does not matter.
        example: A signal, (batch, time, channels).
        delay: The delay in samples, at least 0. None takes the bank's attribute `delay`, or 0.
        margin: Number of samples at both ends that do not count. The result may be longer than the input.

    Raises:
        AssertionError: If it does not. The message gives the place, the error, the ratio of signal to error, and a
            better delay and gain if any.

    Example:
        The Haar bank:

        >>> import torch
        >>> def analysis(x):
        ...     even, odd = x[:, ::2], x[:, 1::2]
        ...     return (even + odd) / 2, (even - odd) / 2
        >>> def synthesis(bands):
        ...     low, high = bands
        ...     return torch.stack([low + high, low - high], 2).flatten(1, 2)
        >>> assert_perfect_reconstruction((analysis, synthesis), torch.randn(2, 8, 3))
    """
    x = check_example(example)
    analysis, synthesis = _halves(bank)
    late = int(getattr(bank, "delay", 0)) if delay is None else delay
    if late < 0 or not 0 <= 2 * margin < x.shape[1] - late:
        raise ValueError(
            f"delay and margin must be at least 0 and leave some of {x.shape[1]} samples, got {late} and {margin}"
        )
    with examined(bank, x):
        y = synthesis(analysis(x))
    if not isinstance(y, Tensor) or y.dim() != 3 or y.shape[0] != x.shape[0] or y.shape[2] != x.shape[2]:
        got = f"shape {tuple(y.shape)}" if isinstance(y, Tensor) else f"{type(y).__name__}"
        raise AssertionError(f"synthesis must give (batch, time, channels) like {tuple(x.shape)}, got {got}")
    if y.shape[1] < x.shape[1]:
        raise AssertionError(
            f"synthesis gave {y.shape[1]} samples for {x.shape[1]}: some of the signal is lost"
        )
    check_late(y[:, : x.shape[1]], x, late, margin, False, f"no perfect reconstruction late by {late}")


def _halves(bank: Bank) -> tuple[Callable[[Tensor], Any], Callable[[Any], Any]]:
    if isinstance(bank, tuple):
        if len(bank) != 2 or not all(map(callable, bank)):
            raise TypeError(f"bank must be a pair (analysis, synthesis) of functions, got {bank!r}")
        return bank
    if callable(getattr(bank, "analysis", None)) and callable(getattr(bank, "synthesis", None)):
        return bank.analysis, bank.synthesis
    if not callable(bank):
        raise TypeError(
            f"bank must have analysis and synthesis, or be a pair of functions or one, got {type(bank).__name__}"
        )
    return bank, lambda y: y
