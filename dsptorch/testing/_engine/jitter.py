"""Copy a model with other parameters, because a weight of zero hides leaks that training would open."""

import copy
import math
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

_RELATIVE = 0.1  # the spread of what a parameter that is not 0 is multiplied by
_GAIN = 0.1  # the size of a vector's or number's entries that were closed
_CLOSED = 1e-2  # what is smaller than this, relative to the usual size, is closed
_TRIES = ((_RELATIVE, 0), (_RELATIVE, 1), (_RELATIVE, -1), (1e-3, 1), (1e-3, -1))
"""The spread, and the sign that entries of 0 get, 0 for a random one: the square root of one takes no other."""


def jittered(
    model: nn.Module, seed: int = 0, accepts: Callable[[nn.Module], bool] = lambda model: True
) -> nn.Module | None:
    """Copy a module, and move those parameters of the copy that training would move.

    Entries that are 0 (a closed gain, a LoRA's B), or under a hundredth of the size of a usual first value (a
    LayerScale of 1e-5), get that size, and keep their sign, or get a random one: 1 / sqrt(fan_in) in a matrix, 0.1 in
    a vector. Others are multiplied by 1 + 0.1 * noise. What training cannot move stays: parameters without
    `requires_grad`, entries whose gradient a hook of the parameter turns into 0, and buffers: a mask may be kept there.

    Args:
        model: The module; it is not changed.
        seed: The seed of the noise.
        accepts: Returns whether a copy works. If not (for example a negative parameter under a square root), other
            signs and smaller moves are tried.

    Returns:
        The copy; None, after a warning, if the module cannot be copied, or no copy works.

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
    moving = [
        (parameter, other_parameter)
        for parameter, other_parameter in zip(model.parameters(), other.parameters(), strict=True)
        if parameter.requires_grad and (parameter.is_floating_point() or parameter.is_complex())
    ]
    for spread, sign in _TRIES:
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter, other_parameter in moving:
                moved = _moved(parameter, generator, spread, sign)
                other_parameter.copy_(torch.where(_trained(parameter), moved, parameter))
        if accepts(other):
            return other
    warnings.warn(
        f"expected a module that takes other parameters, got {type(model).__name__}, whose output is then NaN or an "
        "error; what its parameters hide while they are 0 is not tested. Pass jitter=False if they never move",
        stacklevel=2,
    )
    return None


def _moved(parameter: Tensor, generator: torch.Generator, spread: float, sign: int) -> Tensor:
    fan_in = parameter[0].numel() if parameter.dim() > 1 and len(parameter) else 0
    size = 1 / math.sqrt(fan_in) if fan_in else _GAIN
    signs = 2.0 * torch.randint(0, 2, parameter.shape, generator=generator) - 1
    fresh = (size * (0.5 + 0.5 * torch.rand(parameter.shape, generator=generator))).to(parameter)
    factor = 1 + spread * torch.randn(parameter.shape, generator=generator)
    own = parameter.sgn().where(
        parameter != 0, (signs if sign == 0 else torch.full_like(signs, sign)).to(parameter)
    )
    return torch.where(parameter.abs() < _CLOSED * size, fresh * own, parameter * factor.to(parameter))


def _trained(parameter: Tensor) -> Tensor:
    """The entries that get a gradient, as far as the hooks of a parameter let one through."""
    everything = torch.ones_like(parameter, dtype=torch.bool)
    if not parameter._backward_hooks:
        return everything
    gradient = torch.full_like(parameter, 0.5)
    try:
        with torch.enable_grad():
            (passed,) = torch.autograd.grad((parameter * gradient).sum(), parameter)
    except Exception:
        return everything  # the hook takes no gradient but those of training
    return passed != 0
