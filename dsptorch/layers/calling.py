"""How layers call layers: as modules, so that hooks run and see a tensor in and a tensor out."""

from collections.abc import Callable
from typing import Any, TypeAlias

from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from dsptorch.functional.timeline import Timeline

__all__ = ["Carry", "Process", "call_layer", "is_hooked"]

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

    def to(self, *args: Any, **kwargs: Any) -> "Carry":
        """Move all tensors, as hooks do with the arguments of a module that runs on another device (accelerate)."""
        self.memory, self.timeline = tree_map_only(
            Tensor, lambda tensor: tensor.to(*args, **kwargs), (self.memory, self.timeline)
        )
        return self


def call_layer(layer: Callable[..., Tensor], x: Tensor, memory: Any, timeline: Timeline) -> tuple[Tensor, Any]:
    """`Layer.process`, by a call of the module: hooks run, and what stands in the place of its forward.

    That is how a layer made of layers runs them.

    Args:
        layer: The layer, or what calls its forward with the keyword `carry`.
        x: The chunk.
        memory: What the layer remembers; None: at rest.
        timeline: When the samples are.

    Raises:
        RuntimeError: If the forward of the layer is not reached.
    """
    carry = Carry(memory, timeline)
    y = layer(x, carry=carry)
    if carry.after is None:
        raise RuntimeError(
            f"{type(layer).__name__} needs its own forward, which knows its memory, but something stands in its place "
            "and does not call it; let that call it, with the keywords that it gets"
        )
    return y, carry.after


def is_hooked(module: nn.Module) -> bool:
    """Whether something else than its own forward may act when a module is called: hooks, or what replaced it."""
    return bool(module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module))
