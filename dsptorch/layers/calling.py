"""Layers call layers as modules, so that hooks run, with a tensor as input and a tensor as output."""

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook
from torch.utils._pytree import tree_map_only

from dsptorch.functional.timeline import Timeline

__all__ = ["Carry", "Process", "by_calling", "is_hooked", "is_plain"]

Process: TypeAlias = Callable[[Tensor, Any, Timeline], tuple[Tensor, Any]]
"""`Layer.process`, or a way to it: from a chunk, the memory and the timeline to the output and the next memory."""


class Carry:
    """The inputs and outputs of a layer's call other than the chunk: its memory and its timeline.

    Attributes:
        memory: The memory of the layer before the chunk.
        timeline: The times of the samples.
        after: The memory of the layer after the chunk; None until its forward has run.
    """

    def __init__(self, memory: Any, timeline: Timeline) -> None:
        self.memory, self.timeline = memory, timeline
        self.after: Any = None

    def to(self, device: torch.device | str | int, non_blocking: bool = False) -> "Carry":
        """Move the tensors to a device. Hooks of accelerate call this method on every argument that has it."""
        self.memory, self.timeline = tree_map_only(
            Tensor, lambda tensor: tensor.to(device, non_blocking=non_blocking), (self.memory, self.timeline)
        )
        return self


def by_calling(
    layer: Callable[..., Tensor], x: Tensor, memory: Any, timeline: Timeline
) -> tuple[Tensor, Any]:
    """Run `Layer.process` by calling the module, so that its hooks and a replaced forward run.

    Args:
        layer: The layer, or a callable that calls its forward with the keyword `carry`.
        x: The chunk.
        memory: The memory of the layer; None at rest.
        timeline: The times of the samples.

    Raises:
        RuntimeError: If the forward of the layer is not reached.
        TypeError: If a replaced forward does not accept the keyword.
    """
    carry = Carry(memory, timeline)
    try:
        y = layer(x, carry=carry)
    except TypeError as error:
        if "unexpected keyword argument 'carry'" not in str(error):
            raise
        raise TypeError(
            f"{error}: a layer's forward is called with a keyword of that name by `step`, and by layers around it; let "
            "it take **kwargs, and pass them on to the forward that it calls. What it computes belongs into `process`"
        ) from error
    if carry.after is None:
        raise RuntimeError(
            "the forward of a dsptorch layer, which knows the layer's memory, was not called: something stands in its "
            "place; let that call it, with the keywords that it gets"
        )
    return y, carry.after


def is_hooked(module: nn.Module) -> bool:
    """Whether a call of a module may run more than the forward of its class: hooks, or a replaced forward."""
    return bool(module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module))


def is_plain(module: nn.Module) -> bool:
    """Whether a call of a module runs the forward of its class and nothing else."""
    return not (
        is_hooked(module)
        or module._backward_hooks
        or module._backward_pre_hooks
        or module._compiled_call_impl
        or _has_any_global_hook()
    )
