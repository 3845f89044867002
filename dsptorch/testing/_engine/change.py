"""The changes of outputs, absolute and relative to their usual size."""

from typing import NamedTuple

import torch
from torch import Tensor

from dsptorch.testing._engine.outputs import Outputs

_LOW = 0.1  # the quantile of small values that defines outliers
_ABOVE = 1e3  # values above this times the quantile are outliers
_NUMBERS = 1 << 22  # that sizes are measured on, about, at most


class Place(NamedTuple):
    """A changed output: its name, its change, and its usual size."""

    name: str
    change: float
    size: float


NOWHERE = Place("", 0.0, 0.0)


def moved(after: Outputs, before: Outputs) -> Tensor:
    """The greatest change over outputs and channels, (batch, time), on the CPU; infinite where one becomes NaN."""
    parts = [_difference(after[name], y).amax(-1).cpu().double() for name, y in before.items()]
    return torch.stack(parts).amax(0)


def relatively_moved(after: Outputs, before: Outputs, sizes: Outputs) -> Tensor:
    """The greatest change as in `moved`, relative to the sizes of the outputs from `sizes_of`."""
    ratios = [_ratio(_difference(after[name], y), sizes[name]) for name, y in before.items()]
    return torch.stack([ratio.amax(-1).cpu().double() for ratio in ratios]).amax(0)


def place_of(after: Outputs, before: Outputs, sizes: Outputs, row: int, time: int) -> Place:
    """The output with the greatest relative change in a row at a time."""
    best, greatest = NOWHERE, -1.0
    for name, y in before.items():
        change = _difference(after[name][row, time], y[row, time])
        size = sizes[name][min(row, len(sizes[name]) - 1), time]
        ratio = _ratio(change, size)
        at = int(ratio.argmax())
        if ratio[at] > greatest:
            shown = size[at] if _counts_relatively(y) else y[row, time, at].double().abs()
            greatest, best = ratio[at].item(), Place(name, change[at].item(), float(shown))
    return best


def without_overflow(after: Outputs, before: Outputs, watched: Tensor) -> Outputs:
    """Take back what became infinite or NaN in rows that overflow at times that are not watched, too.

    Loud inputs may be more than a model can hold at their own time; 0 times infinity is then NaN behind every mask.

    Args:
        after: The changed outputs.
        before: The clean ones.
        watched: (rows or 1, time).
    """
    lost = {name: ~after[name].isfinite() & y.isfinite() for name, y in before.items()}
    rows = torch.stack([(gone.any(-1).cpu() & ~watched).any(1) for gone in lost.values()]).any(0)
    return {
        name: torch.where(gone & rows.to(gone.device)[:, None, None], before[name], after[name])
        for name, gone in lost.items()
    }


def sizes_of(outputs: Outputs) -> Outputs:
    """The size of each value of outputs, actual or usual, whichever is greater. Rounding is relative to it.

        size[t, c] = max(|y[t, c]|, u[c]),   u[c] = min(max_t |y[t, c]|, 1000 * the 10 % quantile of |y[t, c]| over t)

    So u is the greatest value of a channel, except outliers: a masked logit of -1e9, or one huge time step, must not
    hide changes of the others. Zeros, infinities and other rows do not count. A channel without a value uses the u of
    the row. The size of whole numbers is 1, so any change of them counts.

    Example:
        >>> logits = torch.tensor([[[1.0, -1e9], [-2.0, -1e9], [0.0, -1e9]]])
        >>> sizes_of({"logits": logits})["logits"][0, 2]
        tensor([2.0000e+00, 1.0000e+09])
    """
    return {name: _sizes(y) for name, y in outputs.items()}


def _sizes(y: Tensor) -> Tensor:
    if not _counts_relatively(y):
        return torch.ones(y.shape, device=y.device)
    size = y.abs()
    size = size.where(size.isfinite(), 0)
    some = size[:, :: -(-size.numel() // _NUMBERS)]
    usual = _usual(some)
    whole = _usual(some.flatten(1).unsqueeze(-1))
    return torch.maximum(size, usual.where(usual > 0, whole))


def _usual(size: Tensor) -> Tensor:
    """(rows, 1, channels), of (rows, time, channels)."""
    ordered = size.where(size > 0, torch.inf).sort(1).values
    count = ordered.isfinite().sum(1, keepdim=True)
    low = ordered.gather(1, (_LOW * (count - 1)).clamp(min=0).long())
    return torch.minimum(size.amax(1, keepdim=True), _ABOVE * low.where(count > 0, 0))


def _difference(after: Tensor, before: Tensor) -> Tensor:
    if after.shape != before.shape:
        raise ValueError(
            f"expected outputs of one shape for inputs of one shape, got {tuple(before.shape)} and "
            f"{tuple(after.shape)}; wrap the model in a module whose outputs keep theirs"
        )
    same = after == before  # infinity is equal to infinity, and whole numbers are compared as such
    if _counts_relatively(before):
        change = (after - before).abs()
    else:
        change = (after.double() - before.double()).abs().clamp(min=1)
    return change.where(~same, 0).nan_to_num(nan=torch.inf, posinf=torch.inf)


def _counts_relatively(y: Tensor) -> bool:
    """Whether an output is of numbers that are rounded."""
    return y.is_floating_point() or y.is_complex()


def _ratio(change: Tensor, size: Tensor) -> Tensor:
    return (change / size).where(change > 0, 0)
