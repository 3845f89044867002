"""Soft choices, which have a gradient: weights on integers from a number between them, a mask of a width."""

import torch
from torch import Tensor

__all__ = ["hat_weights", "width_mask"]


def hat_weights(value: Tensor, low: int, high: int) -> Tensor:
    """Spread a number over the two integers beside it, linearly.

        w_i = max(0, 1 - |v - i|),  i = low ... high

    At an integer that one has weight 1 and the others 0; between two integers the weights are those of linear
    interpolation; they sum to 1, to rounding. So a sum of operators with these weights is exact at integers, and
    has a gradient in v between them; at an integer the gradient is the mean of those to its left and its right.

    Args:
        value: The numbers, each in [low, high].
        low: The first integer.
        high: The last, at least `low`.

    Shape:
        value: (...). Result: (..., high - low + 1), in float32 at least.

    Raises:
        TypeError: If `value` is not floating-point.
        ValueError: If there is no integer between the bounds.

    Example:
        >>> hat_weights(torch.tensor([2.0, 2.25]), 1, 4)
        tensor([[0.0000, 1.0000, 0.0000, 0.0000],
                [0.0000, 0.7500, 0.2500, 0.0000]])
    """
    if not value.is_floating_point():
        raise TypeError(
            f"value must be a floating-point tensor, got {value.dtype}; convert it with value.float()"
        )
    if high < low:
        raise ValueError(f"bounds must have low <= high, got low={low}, high={high}")
    dtype = torch.promote_types(value.dtype, torch.float32)
    integers = torch.arange(low, high + 1, dtype=dtype, device=value.device)
    # maximum, unlike clamp and relu, splits the gradient of a tie, which is what an integer is to its neighbours.
    return torch.maximum(1 - (value.to(dtype).unsqueeze(-1) - integers).abs(), torch.zeros_like(integers))


def width_mask(width: float | Tensor, units: int, like: Tensor) -> Tensor:
    """Keep the first `width` of a row of hidden units, softly, so that the width has a gradient.

        mask_i = sigmoid(4 * (width - i - 1/2)),  i = 0 ... units - 1

    At a whole width the first unit left out has weight 0.12 and the next 0.002; the sum of the mask is the
    width, to the tail beyond the last unit.

    Args:
        width: The number of units to keep, in [0, units].
        units: How many there are.
        like: A tensor whose device the result shares; float32 at least.

    Shape:
        (units,)

    Example:
        >>> width_mask(2.0, 4, torch.empty(0))
        tensor([0.9975, 0.8808, 0.1192, 0.0025])
    """
    dtype = torch.promote_types(like.dtype, torch.float32)
    index = torch.arange(units, dtype=dtype, device=like.device)
    return torch.sigmoid(4 * (width - index - 0.5))
