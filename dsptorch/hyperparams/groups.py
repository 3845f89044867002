"""Parameter groups with and without weight decay."""

import math
from collections.abc import Iterator
from typing import Any

from torch import nn


def param_groups(model: nn.Module, *, weight_decay: float) -> list[dict[str, Any]]:
    """Split a model's parameters into a group with weight decay and a group without.

    Not decayed are vectors and scalars (biases, norms, gains) and the parameters that a module names in its class
    attribute `no_weight_decay`: raw hyperparameters (0 is the middle of their interval, not the absence of an effect)
    and filter taps (0 is silence, not the identity).

    Args:
        model: Any module. Parameters that do not require a gradient are left out.
        weight_decay: The decay of the first group, at least 0.

    Returns:
        Two groups for any `torch.optim` optimizer.

    Example:
        >>> import torch
        >>> groups = param_groups(torch.nn.Linear(4, 4), weight_decay=0.1)
        >>> [(group["weight_decay"], len(group["params"])) for group in groups]
        [(0.1, 1), (0.0, 1)]
    """
    if not math.isfinite(weight_decay) or weight_decay < 0:
        raise ValueError(f"weight_decay must be a finite number, at least 0, got {weight_decay}")
    spared = {id(parameter) for module in model.modules() for parameter in _not_decayed(module)}
    params = [p for p in model.parameters() if p.requires_grad]
    decayed = [p for p in params if p.dim() >= 2 and id(p) not in spared]
    others = [p for p in params if p.dim() < 2 or id(p) in spared]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def _not_decayed(module: nn.Module) -> Iterator[nn.Parameter]:
    """The parameters that a module names in `no_weight_decay`, an attribute or (as in timm) a method."""
    names = getattr(module, "no_weight_decay", ())
    own = dict(module.named_parameters())
    for name in names() if callable(names) else names:
        parametrized = f"parametrizations.{name}."  # where torch.nn.utils.parametrize keeps the originals
        yield from (p for key, p in own.items() if key == name or key.startswith(parametrized))
