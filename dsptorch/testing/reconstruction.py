"""Checks that a filter or a filterbank preserves the signal, its energy, or its mean."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dsptorch.testing._engine.examples import check_example, examined, greatest
from dsptorch.testing._engine.run import Model, output_of, tensors_of
from dsptorch.testing.tolerances import difference

Bank = Any
"""An object with `analysis` and `synthesis`; or a pair of such functions; or their composition, signal to signal."""


def assert_identity(model: Model, example: Tensor, *, delay: int = 0, exact: bool = False) -> None:
    """Assert that a model returns its input, late by a delay.

        y[t] = x[t - delay],   0 before

    Args:
        model: A module, or any function.
        example: A signal, (batch, time, channels).
        delay: Samples, at least 0.
        exact: In every bit, rather than to rounding.

    Raises:
        AssertionError: If it does not: it says where and by how much, and what delay and gain would fit better.

    Example:
        >>> from dsptorch import Blend, Delay, Multirate
        >>> assert_identity(Blend(Multirate(4)), torch.randn(2, 9, 4), exact=True)
        >>> assert_identity(Delay(4, 2), torch.randn(2, 9, 4), delay=1)
        Traceback (most recent call last):
        AssertionError: not the identity late by 1: it differs at row ... It is the input late by 2, times 1
    """
    x = check_example(example)
    if delay < 0:
        raise ValueError(f"delay must be at least 0 samples, got {delay}")
    with examined(model, x):
        y = output_of(model, x)
    _check_late(y, x, delay, 0, exact, "not the identity" + (f" late by {delay}" if delay else ""))


def assert_perfect_reconstruction(
    bank: Bank, example: Tensor, *, delay: int | None = None, margin: int = 0
) -> None:
    """Assert that a filterbank's synthesis gives back what its analysis took apart, late by a delay.

        synthesis(analysis(x))[t] = x[t - delay]

    Args:
        bank: What has `analysis` and `synthesis`; or a pair (analysis, synthesis) of functions; or one function
            from signal to signal that does both. What goes between the two is their own affair.
        example: A signal, (batch, time, channels).
        delay: Samples, at least 0. None: the bank's own attribute `delay`, or 0.
        margin: Samples at both ends that do not count. The result may be longer than the input.

    Raises:
        AssertionError: If it does not: it says where and by how much, the ratio of signal to error, and what
            delay and gain would fit better.

    Example:
        The Haar bank:

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
    _check_late(y[:, : x.shape[1]], x, late, margin, False, f"no perfect reconstruction late by {late}")


def assert_energy_preserving(
    model: Callable[[Tensor], Any], example: Tensor, *, tail: int | None = None
) -> None:
    """Assert that a model keeps the energy of every row: Parseval's theorem for paraunitary filterbanks.

        sum |y|^2 = sum |x|^2      over time and channels, and over the bands if there are some

    Args:
        model: A module or any function from a signal to a signal, or to bands: tensors with the batch in front, in
            any tuple, list or mapping.
        example: A signal, (batch, time, channels); noise shows all frequencies.
        tail: Samples of silence that are put before and after it, so that all energy comes out: at least what
            the model remembers and looks ahead. None: the model's `receptive_field`, or the example's length.

    Raises:
        AssertionError: If it does not: it says of which row, and the gain of energy.

    Example:
        >>> from dsptorch import Delay
        >>> assert_energy_preserving(Delay(4, 3), torch.randn(2, 9, 4))
        >>> assert_energy_preserving(lambda x: 0.99 * x, torch.randn(2, 9, 4))
        Traceback (most recent call last):
        AssertionError: energy is not kept: row ... went in with ... and came out with ..., 0.9801 times as much ...
    """
    x = check_example(example)
    known = getattr(model, "receptive_field", None)
    tail = tail if tail is not None else known if isinstance(known, int) else x.shape[1]
    padded = F.pad(x, (0, 0, tail, tail))
    with examined(model, x):
        bands = list(tensors_of(model(padded)))
    if not bands or any(band.dim() < 1 or band.shape[0] != x.shape[0] for band in bands):
        raise AssertionError(
            f"expected tensors with the batch of {x.shape[0]} in front, got {[tuple(b.shape) for b in bands]}"
        )
    energy = torch.stack([b.abs().double().square().flatten(1).sum(1) for b in bands]).sum(0)
    before = x.double().square().sum((1, 2))
    found = difference(energy, before, dtype=x.dtype, scale=greatest(before))
    if found is not None:
        row = found.at[0]
        raise AssertionError(
            f"energy is not kept: row {row} went in with {before[row].item():.6g} and came out with "
            f"{energy[row].item():.6g}, {(energy / before)[row].item():.6g} times as much (in {len(bands)} bands)"
        )


def assert_unit_dc(model: Model, example: Tensor, *, gain: float = 1.0, settle: int | None = None) -> None:
    """Assert that a model passes a constant, once it has settled, with unit gain.

        x[t, c] = a_c for all t   =>   y[t, c] = gain * a_c

    Args:
        model: A module, or any function.
        example: Its shape, dtype and device count: (batch, time, channels).
        gain: What it is, if not 1; 0 for a high-pass.
        settle: Samples at the start that do not count. None: the model's `receptive_field` less one, or half of
            the example. At the end its `lookahead`, if it has one, is left out.

    Raises:
        AssertionError: If it does not: it says which channel, when, and the gain.
        ValueError: If nothing is left to compare.

    Example:
        >>> from dsptorch import FIR
        >>> assert_unit_dc(FIR(4, 5, init="lowpass"), torch.zeros(1, 9, 4))
        >>> assert_unit_dc(FIR(4, 2, init=torch.ones(2, 4)), torch.zeros(1, 9, 4))
        Traceback (most recent call last):
        AssertionError: the gain at DC is not 1: at row 0, time 1, channel 0 it is 2 ...
    """
    x = check_example(example)
    known = getattr(model, "receptive_field", None)
    first = settle if settle is not None else known - 1 if isinstance(known, int) else x.shape[1] // 2
    last = x.shape[1] - int(getattr(model, "lookahead", 0))
    if not 0 <= first < last:
        raise ValueError(f"settle must leave some of {last} samples, got {first}; give a longer example")
    level = 1 + 0.5 * torch.arange(x.shape[2], dtype=x.dtype, device=x.device) / x.shape[2]
    constant = level.expand_as(x).contiguous()
    with examined(model, x):
        y = output_of(model, constant)[:, first:last]
    measured = y / level
    found = difference(measured, torch.full_like(measured, gain))
    if found is not None:
        row, time, channel = found.at
        raise AssertionError(
            f"the gain at DC is not {gain:g}: at row {row}, time {time + first}, channel {channel} it is "
            f"{found.actual:.6g} (off by {found.size:.3g}). Scale the taps to the sum {gain:g}, see "
            "dsptorch.functional.unit_dc; or let it settle for longer"
        )


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


def _check_late(y: Tensor, x: Tensor, delay: int, margin: int, exact: bool, what: str) -> None:
    """Raise unless y is x late by delay."""
    if y.shape != x.shape:
        raise AssertionError(f"{what}: {tuple(y.shape)} came of {tuple(x.shape)}")
    late = F.pad(x, (0, 0, delay, 0))[:, : x.shape[1]]
    inside = slice(delay + margin if margin else 0, x.shape[1] - margin)
    mine, its = y[:, inside], late[:, inside]
    found = difference(mine, its, scale=greatest(x))
    if exact and found is None and not torch.equal(mine, its):
        raise AssertionError(
            f"{what} in every bit: it is off by {(mine - its).abs().max().item():.3g}, as rounding is"
        )
    if found is not None:
        row, time, channel = found.at
        error = (mine.double() - its.double()).square().sum()
        ratio = 10 * torch.log10(its.double().square().sum() / error).item()
        raise AssertionError(
            f"{what}: it differs at row {row}, time {time + inside.start}, channel {channel}, "
            f"{found.actual:.6g} instead of {found.expected:.6g}; the signal is {ratio:.1f} dB above the error. "
            f"{_fit(y, x)}"
        )


def _fit(y: Tensor, x: Tensor) -> str:
    """The delay and gain that bring x closest to y, if they bring it there."""
    best = (torch.inf, 0, 0.0)
    for delay in range(x.shape[1]):
        late = F.pad(x, (0, 0, delay, 0))[:, : x.shape[1]].double()
        size = late.square().sum().item()
        gain = (late * y).sum().item() / size if size else 0.0
        best = min(best, ((y - gain * late).square().sum().item(), delay, gain))
    error, delay, gain = best
    if error < 1e-4 * y.double().square().sum().item():
        return f"It is the input late by {delay}, times {gain:.6g}"
    return "It is no delayed and scaled input at all"
