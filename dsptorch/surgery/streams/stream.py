"""The states of a model between the chunks of its signal."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from dsptorch.layers import Layer, State
from dsptorch.layers.calling import Process
from dsptorch.surgery.hf_cache import CachedStates, cached_tokens, put_states, select_rows, states_in
from dsptorch.surgery.streams.checkpoint import load_states, save_states


class Stream:
    """The states of a model's layers between the chunks of one signal; `streaming` makes it.

    No step changes a state in place. So keeping `stream.states` and setting it again later returns to that point, and
    continuing twice from it is a fork. Beside a HuggingFace cache the states live in the cache, and
    follow it when it is reordered, repeated, copied or reset.
    """

    def __init__(self, layers: dict[str, Layer]) -> None:
        self._layers = layers
        self._called: set[str] | None = None  # in the present forward pass of the model; None between two
        self._memory = CachedStates(None)

    @property
    def states(self) -> dict[str, Any]:
        """The state of each layer by name; none for layers at rest."""
        return dict(self._memory.states)

    @states.setter
    def states(self, states: Mapping[str, Any]) -> None:
        unknown = states.keys() - self._layers.keys()
        if unknown:
            raise ValueError(
                f"states must be of the layers {', '.join(self._layers)}, got {', '.join(sorted(unknown))}"
            )
        self._memory.states = dict(states)

    def reset(self, rows: Tensor | None = None) -> None:
        """Start a new signal, at rest, at position 0.

        Args:
            rows: Which rows of the batch, by number or as a mask; None is all. Beside a cache, reset that too.

        Raises:
            ValueError: If a layer changes the rate and stands within one of its blocks: then all rows or none.
        """
        if rows is None:
            self._memory.states = {}
            return
        self._memory.states = {
            name: _at_rest(name, state, rows) for name, state in self._memory.states.items()
        }

    def select(self, rows: Tensor) -> None:
        """Continue with these rows, in this order; a row that is named twice is forked.

        Args:
            rows: Their indices, int64, (new batch,).
        """
        self._memory.states = select_rows(self._memory.states, rows)

    def state_dict(self) -> dict[str, Any]:
        """The states as a flat dictionary of tensors, for `torch.save`, and a version number."""
        return save_states(self._memory.states)

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Continue from saved states of layers of the same names and shapes.

        Raises:
            ValueError: If they do not fit; nothing has changed then.
        """
        self._memory.states = load_states(saved, self._layers)

    def begin(self, *_: Any) -> None:
        """Note the beginning of a forward pass of the model."""
        self._called = set()

    def end(self, *_: Any) -> None:
        """Note the end of the forward pass."""
        self._called = None

    def run(self, name: str, process: Process, x: Tensor, segment_ids: Tensor | None) -> Tensor:
        """Run a layer on the next chunk by this way to its `process`, and keep its state."""
        if self._called is not None:
            if name in self._called:
                raise ValueError(
                    f"{name or 'the model'} was called twice in one forward pass, so it would have one state for two "
                    "signals; give each place a layer of its own"
                )
            self._called.add(name)
        states = self._memory.states
        y, states[name] = self._layers[name].step_by(process, x, states.get(name), segment_ids)
        return y

    def take_states(self, cache: Any) -> None:
        """Before a call, take the states from its cache; a call without a cache is a signal of its own."""
        self._memory = CachedStates(None)
        if cache is None:
            return
        length, held = cached_tokens(cache), states_in(cache)
        if getattr(cache, "is_compileable", False) and held is None:
            raise ValueError(
                f"streaming goes with a dynamic cache, got a {type(cache).__name__}; leave out cache_implementation"
            )
        if length and (held is None or held.length != length):
            raise ValueError(
                f"the cache holds {length} tokens, of which the dsptorch layers saw "
                f"{0 if held is None else held.length} in this way, so their history is lost; fill the cache "
                "from its start within dsptorch.streaming(model)"
            )
        if held is not None:
            if not length:
                held.reset()
            self._memory = held

    def give_states(self, cache: Any) -> None:
        """After a call, put the states into its cache; without a cache, forget them."""
        if cache is None:
            self._memory = CachedStates(None)
            return
        self._memory.is_sliding = getattr(cache.layers[0], "is_sliding", False) if cache.layers else False
        put_states(cache, self._memory)


def _at_rest(name: str, state: State, rows: Tensor) -> State:
    """A copy of a state in which some rows are at rest: 0 in every part."""
    if isinstance(state.phase, Tensor) and state.phase.shape[1]:
        raise ValueError(
            f"{name or 'the model'} changes the rate inside, so its rows go on in step, and single rows can only be "
            f"reset at the beginning of a block; they are {state.phase.shape[1]} samples behind one. Reset all rows, "
            "or step to the beginning of the next block first"
        )
    first: State = tree_map_only(Tensor, lambda leaf: leaf.index_fill(0, _numbers(rows, leaf), 0), state)
    return first


def _numbers(rows: Tensor, leaf: Tensor) -> Tensor:
    rows = torch.as_tensor(rows, device=leaf.device)
    return rows.nonzero().flatten() if rows.dtype == torch.bool else rows.long()
