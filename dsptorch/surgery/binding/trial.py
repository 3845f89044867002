"""Trying a module once, to see what depends on a hyperparameter, without a trace."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from dsptorch.hyperparams import BoundedHyperparam
from dsptorch.isolation import preserved, random_state_kept
from dsptorch.surgery.binding.tensor_number import RefusedError, hint


def check_gradient(
    module: nn.Module, name: str, hyperparam: BoundedHyperparam, args: tuple[Any, ...]
) -> None:
    """Run a module once to see that a gradient comes to the hyperparameter, and leave no trace."""
    who = f"{name} of {type(module).__name__}"
    with random_state_kept(), torch.enable_grad(), preserved(module, attributes=True):
        # Copies: what forward writes to its buffers and its arguments is written there.
        buffers = {key: buffer.clone() for key, buffer in module.named_buffers()}
        args = tree_map_only(Tensor, Tensor.clone, args)
        try:
            output = torch.func.functional_call(module, buffers, args)
            grad = _gradient(output, hyperparam.raw)
        except RefusedError:
            raise
        except Exception as error:
            raise ValueError(
                f"{who} was not bound: forward, or its gradient, fails on the example: {type(error).__name__}: {error}"
            ) from error
    if not hyperparam.raw.requires_grad:
        return
    if grad is None or not grad.any():
        raise ValueError(
            f"{who} was not bound: no gradient comes from the output of forward on the example to it, "
            + (
                "as it is not used, or is read into Python or detached on the way"
                if grad is None
                else "it is exactly 0: by rounding, or a bound, or zeros in the example"
            )
            + ". "
            + hint(name)
        )


def _gradient(output: Any, raw: Tensor) -> Tensor | None:
    reached = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor) and leaf.requires_grad]
    if not reached or not raw.requires_grad:
        return None
    # Any weights but equal ones: the sum of a softmax has no gradient.
    weights = [torch.randn_like(leaf) for leaf in reached]
    return torch.autograd.grad(reached, raw, weights, allow_unused=True)[0]
