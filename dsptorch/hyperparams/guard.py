"""Hyperparameters that survive a gradient that is not finite."""

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from dsptorch.hyperparams.arguments import named_hyperparams

__all__ = ["guard_gradients"]


def guard_gradients(model: nn.Module) -> list[RemovableHandle]:
    """Let the hyperparameters of a model take gradients that are not finite as 0.

        g <- g where it is finite, else 0

    Without the guard an optimizer that steps on one infinite or NaN gradient makes `raw`, and Adam's averages, NaN for
    good. The weights of the model are not guarded. Whoever looks for gradients that are not finite does not see those
    of hyperparameters any more: `clip_grad_norm_`, and a GradScaler, which leaves such steps out by itself. No value
    is read on the host.

    Args:
        model: Any module. The guard is on the tensors `raw`: a deepcopy, and a tensor that `load_state_dict` with
            assign=True puts in their place, need one of their own.

    Returns:
        One handle for each hyperparameter; `handle.remove()` takes the guard off.

    Example:
        >>> from dsptorch import BoundedHyperparam
        >>> mix = BoundedHyperparam(0.4, 0.2, 0.6)
        >>> handles = guard_gradients(mix)
        >>> (mix() * torch.inf).sum().backward()
        >>> mix.raw.grad
        tensor([0.])
    """
    return [h.raw.register_hook(_finite) for _, h in named_hyperparams(model) if h.raw.requires_grad]


def _finite(gradient: Tensor) -> Tensor:
    return torch.where(gradient.isfinite(), gradient, torch.zeros_like(gradient))
