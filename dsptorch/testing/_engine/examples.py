"""The first steps of every check of a filter: validate the example, and preserve the model."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from dsptorch.isolation import random_state_kept
from dsptorch.testing._engine.run import Model, evaluating


@contextmanager
def examined(model: Model, *examples: Tensor, gradients: bool = False) -> Iterator[None]:
    """Put a model into eval mode for a block; modes, buffers and random states are restored.

    Args:
        model: A module, or any function.
        *examples: The inputs for the model.
        gradients: Whether gradients are recorded.
    """
    with random_state_kept(everywhere=True), evaluating(model), torch.set_grad_enabled(gradients):
        yield


def check_example(example: Any, least: int = 1) -> Tensor:
    """Return the example without a graph, or raise unless it is a finite, real (batch, time, channels) signal."""
    if not isinstance(example, Tensor):
        raise TypeError(f"example must be a tensor, got {type(example).__name__}")
    if not example.is_floating_point():
        raise TypeError(
            f"example must be a floating-point signal, got {example.dtype}; convert it with x.float()"
        )
    if example.dim() != 3 or example.shape[0] < 1 or example.shape[1] < least or example.shape[2] < 1:
        raise ValueError(
            f"example must be (batch, time, channels) with at least 1 row, {least} samples and 1 channel, got shape "
            f"{tuple(example.shape)}"
        )
    if not example.isfinite().all():
        raise ValueError("example must be finite: of what is NaN or infinite nothing can be said")
    return example.detach()


def noise(like: Tensor, seed: int, *shape: int) -> Tensor:
    """Gaussian noise with the dtype and device of a tensor and a given shape, equal on every device."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*(shape or like.shape), dtype=torch.float64, generator=generator).to(like)


def greatest(*tensors: Tensor) -> float:
    """The greatest finite absolute value, at least 1e-30, to which a tolerance is relative."""
    sizes = [tensor.detach()[tensor.detach().isfinite()].abs().double() for tensor in tensors]
    return max([size.max().item() for size in sizes if size.numel()], default=0.0) or 1e-30


def named_leaves(model: Model, x: Tensor) -> tuple[list[str], list[Tensor]]:
    """The leaves of a gradient check: the input, and the parameters that learn, with their names."""
    parameters = dict(model.named_parameters()) if isinstance(model, nn.Module) else {}
    learned = {f"parameter {name!r}": p for name, p in parameters.items() if p.requires_grad}
    return ["the input", *learned], [x, *learned.values()]


def projected_gradients(y: Tensor, names: list[str], leaves: list[Tensor], seed: int) -> dict[str, Tensor]:
    """The gradients of an output weighted by noise (so that nothing cancels), by name of the leaf."""
    loss = (y * noise(y.detach(), seed)).sum()
    found = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
    return dict(zip(names, found, strict=True))


def brief(error: Exception) -> str:
    """An error's message on one line, its start."""
    return " ".join(str(error).split())[:400]
