"""Keep numbers in float32 or wider where half precision is not accurate enough."""

import torch
from torch import Tensor

__all__ = ["at_least_single", "without_autocast"]


def at_least_single(x: Tensor) -> Tensor:
    """Return the tensor in float32, or in its own dtype if that is wider.

    Example:
        >>> at_least_single(torch.ones(1, dtype=torch.bfloat16)).dtype
        torch.float32
    """
    return x.to(torch.promote_types(x.dtype, torch.float32))


def without_autocast(x: Tensor) -> torch.autocast:
    """A context without autocast on the device of x (on the meta device too, which has no autocast of its own)."""
    return torch.autocast("cpu" if x.device.type == "meta" else x.device.type, enabled=False)
