"""A copy of a model with other parameters: what a weight of zero hides, training would show."""

import copy
import math
import warnings

import torch
from torch import Tensor, nn

_RELATIVE = 0.1  # the spread of what a parameter that is not 0 is multiplied by
_GAIN = 0.1  # the size of a vector's or number's entries that were closed
_CLOSED = 1e-2  # what is smaller than this, relative to the usual size, is closed


def jittered(model: nn.Module, seed: int = 0) -> nn.Module | None:
    """Copy a module, and move the parameters of the copy that training would move.

    Entries that are 0 (a closed gain, a LoRA's B), or under a hundredth of the size of a usual first value (a
    LayerScale of 1e-5), get that size and a random sign: 1 / sqrt(fan_in) in a matrix, 0.1 in a vector. Others
    are multiplied by 1 + 0.1 * noise. Parameters without `requires_grad` stay, buffers too: a mask may be kept
    there.

    Args:
        model: The module; it is not changed.
        seed: The seed of the noise.

    Returns:
        The copy; None, after a warning, if the module cannot be copied.

    Example:
        >>> closed = nn.Linear(4, 4)
        >>> _ = nn.init.zeros_(closed.weight)
        >>> jittered(closed).weight.abs().min() > 0.2, closed.weight.any()
        (tensor(True), tensor(False))
    """
    try:
        other = copy.deepcopy(model)
    except Exception as error:
        warnings.warn(
            f"expected a module that copy.deepcopy can copy, got {type(model).__name__} ({error}); what its "
            "parameters hide while they are 0 is not tested. Make it copyable, or pass jitter=False",
            stacklevel=2,
        )
        return None
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in other.parameters():
            if parameter.requires_grad and (parameter.is_floating_point() or parameter.is_complex()):
                parameter.copy_(_moved(parameter, generator))
    return other


def _moved(parameter: Tensor, generator: torch.Generator) -> Tensor:
    fan_in = parameter[0].numel() if parameter.dim() > 1 and len(parameter) else 0
    size = 1 / math.sqrt(fan_in) if fan_in else _GAIN
    sign = 2.0 * torch.randint(0, 2, parameter.shape, generator=generator) - 1
    fresh = size * sign * (0.5 + 0.5 * torch.rand(parameter.shape, generator=generator))
    factor = 1 + _RELATIVE * torch.randn(parameter.shape, generator=generator)
    return torch.where(
        parameter.abs() < _CLOSED * size, fresh.to(parameter), parameter * factor.to(parameter)
    )
