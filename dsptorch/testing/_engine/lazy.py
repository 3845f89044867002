"""Modules that make their parameters when they first run: a copy of them does, and they stay lazy."""

import copy

import torch
from torch import Tensor, nn

from dsptorch.testing._engine.run import Model, called, cuda_devices, modules_of, seed_all


def initialized(model: Model, example: Tensor, seed: int) -> Model:
    """The model; or a copy that has run once, if it has parameters that are not initialized.

    Raises:
        ValueError: If such a model cannot be copied.

    Example:
        >>> lazy = nn.LazyLinear(2)
        >>> initialized(lazy, torch.ones(1, 4, 3), 0).weight.shape, type(lazy).__name__
        (torch.Size([2, 3]), 'LazyLinear')
    """
    if not any(map(nn.parameter.is_lazy, _tensors(model))):
        return model
    try:
        other = copy.deepcopy(model)
    except Exception as error:
        raise ValueError(
            f"expected a lazy module that copy.deepcopy can copy, got {type(model).__name__} ({error}); run it once "
            "before it is tested"
        ) from error
    modes = [(part, part.training) for part in modules_of(other)]
    for part, _ in modes:
        part.training = False  # statistics of the batch stay
    seed_all(seed, cuda_devices(model, example))
    with torch.no_grad():
        called(other, example)
    for part, training in modes:
        part.training = training
    return other


def _tensors(model: Model) -> list[Tensor]:
    parts = modules_of(model)
    return [t for part in parts for t in (*part.parameters(recurse=False), *part.buffers(recurse=False))]
