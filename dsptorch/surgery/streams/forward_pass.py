"""One forward pass of a model that streams, and the passes in progress."""

import sys
import threading
from typing import Any

import torch
from torch import Tensor
from torch.utils import checkpoint

from dsptorch.layers import Layer, State
from dsptorch.layers.calling import Process
from dsptorch.surgery.cached_states import CachedStates

__all__ = ["ForwardPass", "in_progress"]


class ForwardPass:
    """A forward pass: the states with which it began, and those that its layers have reached.

    They become the states of the stream when the pass ends, and not if it fails.

    Args:
        owner: What streams.
        memory: The states with which the pass begins.

    Raises:
        ValueError: If an activation checkpoint runs the pass, and would run it again.
    """

    def __init__(self, owner: object, memory: CachedStates) -> None:
        self.owner, self.memory = owner, memory
        self.reached: dict[str, State] = {}
        self.differentiated = torch.is_grad_enabled()
        if not torch.compiler.is_compiling() and not self.differentiated:
            # A reentrant checkpoint around the model disables gradients.
            _refuse_checkpoint("the model")
        if not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1:
            raise _again("the model")

    def run(self, name: str, layer: Layer, process: Process, x: Tensor, segment_ids: Tensor | None) -> Tensor:
        """Run a layer on its next chunk, by this way to its `process`."""
        if name in self.reached:
            raise ValueError(
                f"{name or 'the model'} was called twice in one forward pass, so it would have one state for two "
                "signals; give each place a layer of its own"
            )
        if name in self.memory.missed:
            raise ValueError(
                f"{name} was not reached by every call on this cache, so its history has a gap; begin with a new cache"
            )
        if self.differentiated and not torch.compiler.is_compiling():
            _refuse_checkpoint(name or "the model")
        y, self.reached[name] = layer.step_by(process, x, self.memory.states.get(name), segment_ids)
        return y


class _Here(threading.local):
    """The passes in progress in this thread: a forward pass never waits, so they are of one coroutine."""

    def __init__(self) -> None:  # for Dynamo, which guards that the attribute is there
        self.passes: tuple[ForwardPass, ...] = ()


in_progress = _Here()


def _refuse_checkpoint(name: str) -> None:
    frame: Any = sys._getframe()
    while frame is not None:
        if frame.f_code.co_filename == checkpoint.__file__:
            raise _again(name)
        frame = frame.f_back


def _again(name: str) -> ValueError:
    return ValueError(
        f"{name} runs in an activation checkpoint, which runs it again in the backward pass, when its state has moved "
        "on; turn checkpoints off within dsptorch.streaming (chunks bound the memory too), or train on whole sequences"
    )
