"""Shifts of states and matrices in time, for the derivatives of a recurrence."""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["first_sample", "shifted", "states_before", "transposed", "unless_begun", "with_last"]


def with_last(of_y: Tensor | None, of_last: Tensor | None, time: int, reverse: bool) -> Tensor | None:
    """The gradient in all states, plus that in the last state, which is returned a second time."""
    if of_last is None:
        return of_y
    ends = (0, time - 1) if reverse else (time - 1, 0)
    of_last = F.pad(of_last.unsqueeze(1), (0, 0, 0, 0, *ends))
    return of_last if of_y is None else of_y + of_last


def transposed(a: Tensor, back: int) -> Tensor:
    """The matrices of the adjoint: transposed, and those of each sample at the time from which they lead back."""
    turned = a.transpose(-3, -2)
    if a.dim() == 4:
        return turned
    return torch.stack([shifted(a_k, back * k) for k, a_k in enumerate(turned.unbind(2), 1)], 2)


def states_before(
    y: Tensor, state: Tensor | None, begins: Tensor | None, reverse: bool, order: int
) -> list[Tensor]:
    """The states that each sample sees, 1 to p samples before it: 0 before the beginning of its signal."""
    before = [shifted(y, -k if reverse else k) for k in range(1, order + 1)]
    if state is not None:
        before = [F.pad(torch.cat([state.unsqueeze(1), y], 1), (0, 0, 0, 0, 0, -1))]
    if begins is not None:
        begun = begins
        for k in range(order):
            before[k] = before[k].masked_fill(begun[..., None, None], 0)
            begun = begun | shifted(begun, -1 if reverse else 1)
    return before


def shifted(x: Tensor, by: int) -> Tensor:
    """x[t - by], 0 where there is none."""
    if x.shape[1] < abs(by):
        return torch.zeros_like(x)
    return F.pad(x, (*(0, 0) * (x.dim() - 2), by, -by))


def first_sample(x: Tensor) -> Tensor:
    """The first sample, 0 if there is none; of a constant matrix, the matrix."""
    return x if x.dim() == 3 else F.pad(x, (*(0, 0) * (x.dim() - 2), 0, 1 - x.shape[1]))


def unless_begun(first: Tensor, begins: Tensor | None) -> Tensor:
    """The part of the first sample, set to 0 in the rows where a signal begins with that sample."""
    return first if begins is None else first.masked_fill(first_sample(begins)[..., None, None], 0)
