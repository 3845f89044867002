"""Differentiable choices: weights on the integers around a number, and a mask with a fractional width."""

import torch
from torch import Tensor

__all__ = ["hat_weights", "width_mask"]


def hat_weights(value: Tensor, low: int, high: int) -> Tensor:
    """Distribute a number linearly over its two neighbouring integers.

        w_i = max(0, 1 - |v - i|),  i = low ... high

    At an integer, the weight of this integer is 1 and the others are 0. Between two integers the weights are those of
    linear interpolation. They sum to 1 within rounding. So a sum of operators with these weights is exact at integers
    and has a gradient in v between them; at an integer the gradient is the mean of the left and the right one.

    Args:
        value: The numbers, each in [low, high].
        low: The first integer.
        high: The last, at least `low`.

    Shape:
        value: (...). Result: (..., high - low + 1), in float32 at least.

    Raises:
        TypeError: If `value` is not floating-point.
        ValueError: If `low` is greater than `high`.

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
    # maximum, unlike clamp and relu, splits the gradient at a tie, and the neighbours of an integer are a tie.
    return torch.maximum(1 - (value.to(dtype).unsqueeze(-1) - integers).abs(), torch.zeros_like(integers))


def width_mask(width: float | Tensor, units: int, like: Tensor) -> Tensor:
    """Return a soft mask of the first `width` hidden units, so that the width has a gradient.

        mask_i = sigmoid(4 * (width - i - 1/2)),  i = 0 ... units - 1

    At an integer width the first excluded unit has weight 0.12 and the next one 0.002. The sum of the mask is the
    width, up to the tail beyond the last unit.

    Args:
        width: The number of units to keep, in [0, units].
        units: Number of units.
        like: A tensor that gives the device and the dtype, float32 at least.

    Shape:
        (units,)

    Example:
        >>> width_mask(2.0, 4, torch.empty(0))
        tensor([0.9975, 0.8808, 0.1192, 0.0025])
    """
    dtype = torch.promote_types(like.dtype, torch.float32)
    index = torch.arange(units, dtype=dtype, device=like.device)
    return torch.sigmoid(4 * (width - index - 0.5))
