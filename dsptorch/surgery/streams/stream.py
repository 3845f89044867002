"""The states of a model between the chunks of its signal."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from dsptorch.layers import Layer, State
from dsptorch.layers.opened import Opened
from dsptorch.surgery.cached_states import CachedStates, select_rows
from dsptorch.surgery.streams.checkpoint import load_states, save_states
from dsptorch.surgery.streams.forward_pass import ForwardPass, in_progress

__all__ = ["Stream"]

_opened = Opened("dsptorch.streaming")


class Stream:
    """The states of a model's layers between the chunks of one signal, created by `streaming`.

    No step changes a state in place. So you can keep `stream.states` and set it again later to return to that point, or
    continue from it twice to fork. With a HuggingFace cache the states are stored in the cache, and follow it when it
    is reordered, repeated, copied or reset.
    """

    def __init__(self, layers: dict[str, Layer]) -> None:
        self._layers = layers
        self._memory = CachedStates()
        self._running: dict[CachedStates, ForwardPass] = {}
        self._ended = False

    @property
    def states(self) -> dict[str, Any]:
        """The state of each layer by name, without layers at rest."""
        return dict(self._memory.states)

    @states.setter
    def states(self, states: Mapping[str, Any]) -> None:
        unknown = states.keys() - self._layers.keys()
        if unknown:
            raise ValueError(
                f"states must be of the layers {', '.join(self._layers)}, got {', '.join(sorted(unknown))}"
            )
        self._memory.states = dict(states)

    def reset(self, rows: Tensor | Sequence[int] | None = None) -> None:
        """Start a new signal, at rest at position 0.

        Args:
            rows: The rows of the batch to reset, as indices or as a mask of the batch; None for all. With a cache,
                reset that too.

        Raises:
            TypeError, ValueError: If rows are neither; or if a layer changes the rate and is inside one of its blocks:
                only all rows can be reset then.
        """
        if rows is None:
            self._memory.states = {}
            return
        self._memory.states = {
            name: _at_rest(name, state, rows) for name, state in self._memory.states.items()
        }

    def select(self, rows: Tensor | Sequence[int]) -> None:
        """Continue with the given rows in the given order; a repeated index forks its row.

        Args:
            rows: The indices of the rows, (new batch,), or a mask of the rows to keep, (batch,).

        Raises:
            TypeError, ValueError: If rows are neither.
        """
        self._memory.states = {
            name: select_rows(state, _numbers(rows, state)) for name, state in self._memory.states.items()
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the states as a flat dictionary of tensors with a version number, for `torch.save`."""
        return save_states(self._memory.states)

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Continue from saved states of layers with the same names and shapes.

        Raises:
            ValueError: If the states do not fit. Nothing is changed then.
        """
        self._memory.states = load_states(saved, self._layers)

    def forget(self) -> None:
        """Drop the states, because the last call was a whole signal."""
        self._memory = CachedStates()

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Open the stream in this thread or coroutine for the duration of a block."""
        with _opened.during(self):
            try:
                yield
            finally:
                self._ended = True

    def is_here(self) -> bool:
        """Whether the stream is open in this thread or coroutine."""
        return any(stream is self for stream in _opened())

    def forward_pass(self) -> ForwardPass | None:
        """The forward pass of this stream in progress in this thread."""
        for found in in_progress.passes:
            if found.owner is self:
                return found
        return None

    def run_pass(self, call: Callable[[], Any], cached: CachedStates | None = None) -> Any:
        """Run a forward pass from the states of the last pass or of a cache, and keep its states if it succeeds."""
        memory = self._memory if cached is None else cached
        begun = ForwardPass(self, memory)
        if self._running.setdefault(memory, begun) is not begun:
            raise ValueError(
                "the model streams this signal in another thread already, and a signal has one next chunk; let each "
                "thread open dsptorch.streaming(model) for itself"
            )
        outer = in_progress.passes
        in_progress.passes = (*outer, begun)
        try:
            output = call()
        finally:
            in_progress.passes = outer
            del self._running[memory]
        if self._ended:
            raise ValueError(
                "dsptorch.streaming(model) ended in the middle of this forward pass, which another thread runs; wait "
                "for the thread before leaving the context"
            )
        if cached is not None:
            cached.missed |= cached.states.keys() - begun.reached.keys()
        memory.states = {**memory.states, **begun.reached}
        self._memory = memory
        return output


def _at_rest(name: str, state: State, rows: Tensor | Sequence[int]) -> State:
    """A copy of a state in which some rows are at rest (0 in every part)."""
    if isinstance(state.phase, Tensor) and state.phase.shape[1]:
        raise ValueError(
            f"{name or 'the model'} changes the rate inside, so its rows go on in step, and single rows can only be "
            f"reset at the beginning of a block; they are {state.phase.shape[1]} samples behind one. Reset all rows, "
            "or step to the beginning of the next block first"
        )
    numbers = _numbers(rows, state)
    first: State = tree_map_only(Tensor, lambda leaf: leaf.index_fill(0, numbers.to(leaf.device), 0), state)
    return first


def _numbers(rows: Tensor | Sequence[int], state: State) -> Tensor:
    """The indices of rows that are given as indices or as a mask."""
    given: Tensor = torch.as_tensor(rows)
    batch = len(state.position)
    if given.dtype == torch.bool:
        if given.shape != (batch,):
            raise ValueError(f"a mask of rows must be of shape ({batch},), got {tuple(given.shape)}")
        return given.nonzero().flatten()
    if given.dim() > 1 or (given.numel() and (given.is_floating_point() or given.is_complex())):
        raise TypeError(
            f"rows must be indices, (n,), or a mask, ({batch},), got a {given.dtype} tensor of shape "
            f"{tuple(given.shape)}"
        )
    return given.long().reshape(-1)
