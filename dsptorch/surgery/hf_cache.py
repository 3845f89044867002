"""Caches by which models remember the tokens before, and the states of layers inside them.

A cache of transformers moves, repeats and forgets the states with its own rows. Other kinds are refused.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

__all__ = [
    "CachedStates",
    "cache_names",
    "followed",
    "holds_tokens",
    "known",
    "memory_before",
    "put_states",
    "select_rows",
]

_NAMES = (
    "past_key_values",
    "cache_params",  # Mamba
    "state",  # RWKV
    "mems",  # XLNet
    "past_buckets_states",  # Reformer
    "past_key_value",
    "layer_past",
)
_MOVES = ("reorder_cache", "batch_repeat_interleave", "batch_select_indices", "reset")
_UNKNOWN = None  # what a cache held, where that cannot be compared


class CachedStates:
    """A last layer of a `transformers.Cache` that holds the states of the layers of a `Stream`.

    A cache asks each of its layers to reorder, repeat, select or forget its rows. This class does not derive from
    the layer class of transformers, so nothing here imports transformers.

    Attributes:
        states: By the names of the layers. A step replaces them, and changes none.
        missed: The layers that some call on this cache did not reach, so that their history has a gap.
        mark: What the cache held when the states were put into it: tokens, or versions of its tensors.
    """

    keys = values = None
    is_initialized = True
    supports_early_init = False
    is_compileable = False
    is_croppable = False
    is_sliding = False

    def __init__(self) -> None:
        self.beside: list[Any] = []  # the layers of the cache
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.states: dict[str, Any] = {}
        self.missed: frozenset[str] = frozenset()
        self.mark: Any = 0

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Beam search: row i continues row beam_idx[i]."""
        self.states, self.mark = select_rows(self.states, beam_idx), _without_versions(self.mark)

    batch_select_indices = reorder_cache

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Each row becomes several."""
        self.states = tree_map_only(Tensor, lambda leaf: leaf.repeat_interleave(repeats, 0), self.states)
        self.mark = _without_versions(self.mark)

    def crop(self, tokens_to_remove: int) -> None:
        """Refuse: the samples before are gone."""
        _refuse_crop(tokens_to_remove)

    def get_max_length(self) -> int:
        """Return -1: there is no maximum."""
        return -1

    def get_seq_length(self) -> int:
        """The number of tokens seen, where the cache counts them."""
        return self.mark if isinstance(self.mark, int) else 0

    def offload(self) -> None:
        """Do nothing: the states are small."""

    def prefetch(self) -> None:
        """Fetch the first layer: an offloaded cache asks the layer after the one that it updates, in a circle."""
        first = next((layer for layer in self.beside if getattr(layer, "keys", None) is not None), self)
        if first is not self:
            first.prefetch()

    def __getstate__(self) -> dict[str, Any]:  # of a copy, whose tensors have versions of their own
        return {**vars(self), "mark": _without_versions(self.mark)}


def cache_names(arguments: Iterable[str]) -> tuple[str, ...]:
    """Those among the names of a module's arguments by which it takes a cache; `state` is one beside `use_cache`."""
    names = tuple(arguments)
    return tuple(name for name in _NAMES if name in names and (name != "state" or "use_cache" in names))


def holds_tokens(cache: Any) -> bool:
    """Whether a model continues from this cache. One of an unknown kind counts, unless nothing is in it."""
    inner = known(cache)
    if inner is not None:
        return any(_layer_holds(layer) for layer in inner.layers)
    return any(map(_has_tensors, tree_leaves(cache)))


def known(cache: Any) -> Any | None:
    """The cache that moves its rows by asking each of its layers, as those of transformers do; None for others."""
    inner = getattr(cache, "self_attention_cache", cache)  # beside one of the encoder's outputs
    return inner if all(map(_is_known, (cache, inner))) else None


def followed(caches: Mapping[str, Any]) -> Any | None:
    """The cache among the arguments of a call that states can follow, None if there is none.

    Raises:
        ValueError: If one of another kind holds something.
    """
    found = None
    for name, cache in caches.items():
        inner = known(cache)
        if inner is not None:
            found = inner if found is None else found
        elif holds_tokens(cache):
            raise ValueError(
                f"the model continues from {name}, a {type(cache).__name__}, which is a kind of cache that dsptorch "
                "does not know, so the states of its layers cannot follow; call the model on whole sequences without "
                "a cache (use_cache=False)"
            )
    return found


def memory_before(cache: Any) -> CachedStates:
    """The states with which a call on this cache begins.

    Raises:
        ValueError: If the layers did not see what the cache holds, or it is of fixed size.
    """
    held = next((layer for layer in cache.layers if isinstance(layer, CachedStates)), None)
    if any(hasattr(layer, "max_cache_len") for layer in cache.layers):
        raise ValueError(
            f"streaming goes with a dynamic cache, got a {type(cache).__name__} of fixed size; leave out "
            "cache_implementation"
        )
    if not holds_tokens(cache):
        if held is not None:
            held.reset()
        return held or CachedStates()
    mark = _mark(cache)
    if held is None or (held.mark is not _UNKNOWN and mark is not _UNKNOWN and held.mark != mark):
        seen = 0 if held is None else held.get_seq_length()
        what = (
            f"{mark} tokens, of which the dsptorch layers saw {seen}"
            if isinstance(mark, int)
            else ("tokens that the dsptorch layers did not see")
        )
        raise ValueError(
            f"the cache holds {what} in this way, so their history is lost (also after a call that failed half-way); "
            "fill a new cache from its start within dsptorch.streaming(model)"
        )
    return held


def put_states(cache: Any, states: CachedStates) -> None:
    """Put states into a cache. The cache then refuses to be cropped, before it has cropped anything."""
    if not any(layer is states for layer in cache.layers):
        cache.layers[:] = [*(layer for layer in cache.layers if not isinstance(layer, CachedStates)), states]
        cache.crop = _refuse_crop
    # Masks are made for the first layer of a kind, which is then another one than this.
    states.is_sliding = any(
        getattr(layer, "is_sliding", False) for layer in cache.layers if layer is not states
    )
    states.beside, states.mark = cache.layers, _mark(cache)


def select_rows(states: Any, rows: Tensor) -> Any:
    """The states of the rows with these indices; a row that is named twice is copied."""
    return tree_map_only(Tensor, lambda leaf: leaf.index_select(0, rows.to(leaf.device)), states)


def _is_known(cache: Any) -> bool:
    """Whether transformers itself defines how it moves rows: a model's own kind of cache may keep some elsewhere."""
    home, bases = "transformers.cache_utils", type(cache).__mro__
    if not any(base.__name__ == "Cache" and base.__module__ == home for base in bases):
        return False
    return all(next(b.__module__ for b in bases if move in vars(b)) == home for move in _MOVES)


def _has_tensors(thing: Any) -> bool:
    if isinstance(thing, Tensor):
        return thing.numel() > 0
    if isinstance(thing, (type(None), bool, int, float, str, type, torch.dtype, torch.device)):
        return False
    return not hasattr(thing, "__dict__") or any(map(_has_tensors, tree_leaves(vars(thing))))


def _layer_holds(layer: Any) -> bool:
    if isinstance(layer, CachedStates):
        return False
    recurrent = getattr(layer, "has_previous_state", {})
    return any(recurrent.values()) or (hasattr(layer, "get_seq_length") and int(layer.get_seq_length()) > 0)


def _mark(cache: Any) -> Any:
    """What tells a cache from the same one after another call: its tokens, or the versions of recurrent states."""
    layers = [layer for layer in cache.layers if not isinstance(layer, CachedStates)]
    lengths = [int(layer.get_seq_length()) for layer in layers if hasattr(layer, "get_seq_length")]
    if lengths:
        return max(lengths)
    states = [
        s for layer in layers for kept in (layer.conv_states, layer.recurrent_states) for s in kept.values()
    ]
    tensors = [s for s in states if isinstance(s, Tensor)]
    if any(tensor.is_inference() for tensor in tensors):
        return _UNKNOWN
    return tuple((id(tensor), tensor._version) for tensor in tensors)


def _without_versions(mark: Any) -> Any:
    return mark if isinstance(mark, int) else _UNKNOWN


def _refuse_crop(tokens_to_remove: int) -> None:
    raise ValueError(
        "the cache holds the states of dsptorch layers, which cannot go back to an earlier token; begin anew, or keep "
        "a copy.deepcopy(cache) from there. Assisted generation goes back: leave out assistant_model and "
        "prompt_lookup_num_tokens"
    )
