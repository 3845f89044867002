"""Minimisation of a smooth function of a few numbers, for designs without a closed form."""

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["minimise"]

_MOST_STEPS = 300


def minimise(function: Callable[[Tensor], Tensor], start: Tensor, tolerance: float = 1e-10) -> Tensor:
    """Minimise a function locally by the method of Broyden, Fletcher, Goldfarb and Shanno (BFGS).

    The method is deterministic.

    Args:
        function: A differentiable function from a tensor to a number.
        start: The starting point.
        tolerance: Stop when a step lowers the value by less than this fraction of it.

    Shape:
        start: any shape. Result: the same shape, float64.

    Example:
        >>> minimise(lambda x: (x - 3).square().sum() + 1, torch.zeros(2))
        tensor([3., 3.], dtype=torch.float64)

    References:
        J. Nocedal and S. J. Wright, Numerical Optimization, 2nd ed., 2006, algorithm 6.1 (BFGS), page 140.
    """
    shape = start.shape

    def evaluate(x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.clone().requires_grad_()
        value = function(x.view(shape))
        return value.detach(), torch.autograd.grad(value, x)[0]

    with torch.enable_grad():
        x = start.detach().double().flatten()
        value, slope = evaluate(x)
        inverse = torch.eye(len(x), dtype=x.dtype) * 0.1 / slope.norm().clamp_min(1e-30)
        for _ in range(_MOST_STEPS):
            move = -(inverse @ slope)
            later, new = evaluate(x + move)
            while later > value + 1e-4 * (move @ slope) and move.norm() > 1e-12:
                move = move / 2
                later, new = evaluate(x + move)
            gain, bend = value - later, new - slope
            x, value, slope = x + move, later, new
            if gain <= tolerance * value.abs():
                break
            inverse = _updated(inverse, move, bend)
    return x.view(shape)


def _updated(inverse: Tensor, move: Tensor, bend: Tensor) -> Tensor:
    """The estimate of the inverse Hessian after a step that changed the gradient by `bend`."""
    curvature = move @ bend
    if curvature <= 1e-14:
        return inverse
    seen = inverse @ bend
    both = torch.outer(move, seen)
    return (
        inverse
        + torch.outer(move, move) * (1 + bend @ seen / curvature) / curvature
        - (both + both.T) / curvature
    )
