"""Measurements of a model on unchanged rows, to which changed rows are compared."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dsptorch.testing._engine.change import NOWHERE, Place, moved, place_of, relatively_moved, sizes_of
from dsptorch.testing._engine.outputs import Outputs
from dsptorch.testing._engine.perturb import Perturber, check_numbers, repeated, scales_of
from dsptorch.testing._engine.rates import outputs_before, rate_of

_ROWS = 64  # most rows of a pass
_NUMBERS = 1 << 24  # approximate maximum of numbers in the output of a pass
_MIXED = 4  # rows of the pass that checks for mixing
_NEAR = 1e-4  # relative difference up to which a row alone and the row among others are the same function


@dataclass
class Baseline:
    """Measurements of a model on clean passes, to which changed passes are compared.

    Attributes:
        rows: The number of rows of a pass.
        fixed: Whether the model accepts no other number of rows.
        outputs: The measured outputs: of unchanged rows, and of the rows after others were replaced.
        mixing: The relative change of a row when the other rows were replaced.
        mixed: The output with the greatest such change.
        noise: The relative change of any row when nothing was replaced.
        uneven: Whether the number of random numbers that the model draws depends on the input.
    """

    rows: int
    fixed: bool
    outputs: tuple[Outputs, Outputs]
    mixing: float = 0.0
    mixed: Place = NOWHERE
    noise: float = 0.0
    uneven: bool = False

    def rows_for(self, replacements: int) -> int:
        """The number of rows of a pass for some replacements."""
        return self.rows if self.fixed else min(self.rows, max(2, replacements))


def baseline_of(perturber: Perturber, example: Tensor) -> Baseline:
    """Run four rows, replace all but one of them, and measure whether this one changes.

    Args:
        perturber: The perturber of the model.
        example: Its first row is repeated; if the model accepts no other number of rows, all rows are used.

    Raises:
        ValueError: If an output is NaN, or the model does not run a second time.
    """
    clean, fixed = repeated(example[:1], _MIXED), False
    try:
        before, count = perturber.run_and_count(clean)
    except Exception as error:
        if len(example) == _MIXED:
            raise
        clean, fixed = repeated(example[:1], len(example)), True
        try:
            before, count = perturber.run_and_count(clean)
        except Exception:
            raise error from error.__cause__
    check_numbers(before)
    kept = len(clean) // 2
    others = (torch.arange(len(clean)) != kept).unsqueeze(1).expand(-1, clean.shape[1])
    after, other_count = _run_again(perturber, perturber.replaced(clean, others, 1.0), clean)
    width = sum(y[0].numel() for y in before.values())
    rows = len(clean) if fixed else max(2, min(_ROWS, _NUMBERS // max(1, width)))
    found = Baseline(rows, fixed, (before, after), uneven=count != other_count)
    if len(clean) > 1 and moved(after, before)[kept].max() > 0:
        sizes = sizes_of(before)
        change = relatively_moved(after, before, sizes)[kept]
        found.mixing = change.max().item()
        found.mixed = place_of(after, before, sizes, kept, int(change.argmax()))
        found.noise = relatively_moved(perturber.run(clean), before, sizes).max().item()
    return found


def baseline_alone(perturber: Perturber, example: Tensor, many: Baseline, rtol: float) -> Baseline | None:
    """Run one row alone: is that another function than the same row among others is?

    Args:
        perturber: The model's.
        example: Its first row is run.
        many: The measurements on some rows.
        rtol: The change that counts as none; where the row alone is rounded otherwise, ten times that counts as none.

    Returns:
        The measurements on one row; None if that gives the same and sees no future at one cut, or cannot be run.
    """
    row, time = example[:1], example.shape[1]
    cut = time // 2
    changed = perturber.replaced(row, torch.arange(time).unsqueeze(0) >= cut, max(scales_of(row)))
    try:
        (before, count), (after, other_count) = map(perturber.run_and_count, (row, changed))
        check_numbers(before)
    except Exception:
        return None  # no leak where nothing runs
    sizes = sizes_of(before)
    among = {name: y[:1] for name, y in many.outputs[0].items()}
    past = slice(0, outputs_before(cut, rate_of(perturber.model, perturber.rate)))
    rounding = relatively_moved(among, before, sizes).max().item()
    change = relatively_moved(after, before, sizes)[:, past].max().item()
    if count != other_count:
        return None  # other random numbers change the past as a leak does
    same = rounding <= _NEAR and change <= max(rtol, 10 * rounding)
    return None if same else Baseline(1, True, (before, after))


def _run_again(perturber: Perturber, x: Tensor, first: Tensor) -> tuple[Outputs, object]:
    """Run another pass after a first one."""
    try:
        return perturber.run_and_count(x)
    except Exception as error:
        try:
            perturber.run(first)
        except Exception:
            raise ValueError(
                f"expected a model that repeats itself, got {type(error).__name__}: {error} when it was called again: "
                "it keeps a cache or a hidden state from call to call; reset that in its forward"
            ) from error
        raise
