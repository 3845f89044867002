"""From a number between integers to weights on them."""

import torch
from torch import Tensor


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
