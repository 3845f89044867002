"""Check that a model preserves the energy of its input."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dsptorch.testing._engine.examples import check_example, examined, greatest
from dsptorch.testing._engine.run import tensors_of
from dsptorch.testing.tolerances import difference


def assert_energy_preserving(
    model: Callable[[Tensor], Any], example: Tensor, *, tail: int | None = None
) -> None:
    """Assert that a model preserves the energy of every row: Parseval's theorem for paraunitary filterbanks.

        sum |y|^2 = sum |x|^2      over time and channels, and over the bands if there are some

    Args:
        model: A module or any function from a signal to a signal or to bands: tensors with the batch first, in any
            tuple, list or mapping.
        example: A signal, (batch, time, channels). Noise contains all frequencies.
        tail: Samples of silence before and after the signal, so that all energy comes out: at least the memory and the
            lookahead of the model. None takes the model's `receptive_field`, or the length of the example.

    Raises:
        AssertionError: If a row's energy changes. The message names the row and the gain of energy.

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
    if tail < 0:
        raise ValueError(f"tail must be at least 0 samples, got {tail}")
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
