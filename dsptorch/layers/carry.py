"""What a call of a layer carries beside its signal, so that a call takes a tensor and returns a tensor."""

from collections.abc import Callable
from typing import Any, TypeAlias

from torch import Tensor

from dsptorch.functional.timeline import Timeline

__all__ = ["Carry", "Process", "carried"]

Process: TypeAlias = Callable[[Tensor, Any, Timeline], tuple[Tensor, Any]]
"""`Layer.process`, or a way to it: from a chunk, the memory and the timeline to the output and the next memory."""


class Carry:
    """The memory of a layer before a chunk, when the samples of the chunk are, and the memory after the chunk.

    Hooks see a call of a tensor that returns a tensor, as those of any module do, because the memory goes by here.

    Attributes:
        memory: What the layer remembers before the chunk.
        timeline: When the samples are.
        after: What the layer remembers after the chunk; None until its forward has run.
    """

    def __init__(self, memory: Any, timeline: Timeline) -> None:
        self.memory, self.timeline = memory, timeline
        self.after: Any = None


def carried(call: Callable[..., Tensor], x: Tensor, memory: Any, timeline: Timeline) -> tuple[Tensor, Any]:
    """Run a layer on a chunk by a function that takes the chunk and passes `carry` on to the layer's forward.

    Raises:
        RuntimeError: If the function does not reach that forward.
    """
    carry = Carry(memory, timeline)
    y = call(x, carry=carry)
    if carry.after is None:
        raise RuntimeError(
            f"the forward of {type(call).__name__} was replaced by one that does not call the layer's own, which "
            "knows its memory; let it call that, with the keywords that it gets"
        )
    return y, carry.after
