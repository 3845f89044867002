"""Guard hyperparameters against gradients that are not finite."""

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from dsptorch.hyperparams.arguments import named_hyperparams

__all__ = ["guard_gradients"]


def guard_gradients(model: nn.Module) -> list[RemovableHandle]:
    """Replace gradients of a model's hyperparameters that are not finite by 0.

        g <- g where it is finite, else 0

    Without the guard, a step on an infinite or NaN gradient makes `raw` and Adam's averages NaN permanently. The
    weights of the model are not guarded. Code that looks for gradients that are not finite no longer sees those of
    hyperparameters: `clip_grad_norm_`, and GradScaler, which skips such steps by itself. No value is read on the host.

    Args:
        model: Any module. The guard belongs to the tensors `raw`: a deepcopy, and tensors that `load_state_dict` with
            assign=True puts in their place, need a new guard.

    Returns:
        One handle for each hyperparameter; `handle.remove()` removes the guard.

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
