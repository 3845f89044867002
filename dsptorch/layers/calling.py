"""How layers call layers: as modules, so that hooks run and see a tensor in and a tensor out."""

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
    """What a call of a layer takes and gives beside the chunk: its memory, and when the samples are.

    Attributes:
        memory: What the layer remembers before the chunk.
        timeline: When the samples are.
        after: What the layer remembers after the chunk; None until its forward has run.
    """

    def __init__(self, memory: Any, timeline: Timeline) -> None:
        self.memory, self.timeline = memory, timeline
        self.after: Any = None

    def to(self, device: torch.device | str | int, non_blocking: bool = False) -> "Carry":
        """Move the tensors to a device, as accelerate's hooks do with all arguments that have such a method."""
        self.memory, self.timeline = tree_map_only(
            Tensor, lambda tensor: tensor.to(device, non_blocking=non_blocking), (self.memory, self.timeline)
        )
        return self


def by_calling(
    layer: Callable[..., Tensor], x: Tensor, memory: Any, timeline: Timeline
) -> tuple[Tensor, Any]:
    """`Layer.process`, by a call of the module: its hooks run, and what stands in the place of its forward.

    Args:
        layer: The layer, or what calls its forward with the keyword `carry`.
        x: The chunk.
        memory: What the layer remembers; None: at rest.
        timeline: When the samples are.

    Raises:
        RuntimeError: If the forward of the layer is not reached.
        TypeError: If what stands in its place does not take the keyword.
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
    """Whether something else than its own forward may act when a module is called: hooks, or what replaced it."""
    return bool(module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module))


def is_plain(module: nn.Module) -> bool:
    """Whether a call of a module is its forward, and nothing else."""
    return not (
        is_hooked(module)
        or module._backward_hooks
        or module._backward_pre_hooks
        or module._compiled_call_impl
        or _has_any_global_hook()
    )
