"""A bottleneck of learned width."""

import torch
from torch import Tensor


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
