"""Caches of earlier tokens: which kinds exist, and which kinds the states of layers can follow.

A cache of transformers moves, repeats and drops the states with its own rows. Other kinds are refused.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves

from dsptorch.surgery.cached_states import UNKNOWN, CachedStates, refuse_crop

__all__ = ["cache_names", "followed", "holds_tokens", "known", "memory_before", "put_states"]

_NAMES = (
    "past_key_values",
    "cache_params",  # Mamba
    "state",  # RWKV
    "mems",  # XLNet
    "past_buckets_states",  # Reformer
    "past_key_value",
    "layer_past",
)
_BESIDE = {"state": "use_cache", "mems": "use_mems"}
"""Names that are those of a cache only beside another argument; torchaudio's Emformer has a bank of `mems`."""
_MOVES = ("reorder_cache", "batch_repeat_interleave", "batch_select_indices", "reset")


def cache_names(arguments: Iterable[str]) -> tuple[str, ...]:
    """The names of a module's arguments that are caches."""
    names = tuple(arguments)
    return tuple(name for name in _NAMES if name in names and _BESIDE.get(name, name) in names)


def holds_tokens(cache: Any) -> bool:
    """Whether a model continues from this cache. A cache of an unknown kind counts unless it is empty."""
    inner = known(cache)
    if inner is not None:
        return any(_layer_holds(layer) for layer in inner.layers)
    return any(map(_has_tensors, tree_leaves(cache)))


def known(cache: Any) -> Any | None:
    """The cache that moves its rows by asking each of its layers, as those of transformers do; None for others."""
    inner = getattr(cache, "self_attention_cache", cache)  # beside one of the encoder's outputs
    return inner if all(map(_is_known, (cache, inner))) else None


def followed(caches: Mapping[str, Any]) -> Any | None:
    """The cache among the arguments of a call that states can follow; None if there is none.

    Raises:
        ValueError: If a cache of another kind is not empty.
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
    """The initial states of a call on this cache.

    Raises:
        ValueError: If the layers did not see the content of the cache, or it has a fixed size.
    """
    kinds = {base.__name__ for base in type(cache).__mro__}
    if "StaticCache" in kinds or any(hasattr(layer, "max_cache_len") for layer in cache.layers):
        raise ValueError(
            f"streaming goes with a dynamic cache, got a {type(cache).__name__} of fixed size; leave out "
            "cache_implementation"
        )
    held = next((layer for layer in cache.layers if isinstance(layer, CachedStates)), None)
    if not holds_tokens(cache):
        if held is not None:
            held.reset()
        return held or CachedStates()
    mark = _mark(cache)
    if held is not None and (held.mark == mark or UNKNOWN in (held.mark, mark)):
        return held
    what = "tokens that the dsptorch layers did not see"
    if isinstance(mark, int):
        seen = 0 if held is None else held.get_seq_length()
        what = f"{mark} tokens, of which the dsptorch layers saw {seen} in this way"
    raise ValueError(
        f"the cache holds {what}, so their history is lost (also after a call that failed half-way); fill a new cache "
        "from its start within dsptorch.streaming(model)"
    )


def put_states(cache: Any, states: CachedStates) -> None:
    """Put states into a cache. The cache then refuses to be cropped, before it has cropped anything."""
    if not any(layer is states for layer in cache.layers):
        cache.layers[:] = [*(layer for layer in cache.layers if not isinstance(layer, CachedStates)), states]
        cache.crop = refuse_crop
    # Masks are made for the first layer of a kind, which is then another one than this.
    states.is_sliding = any(
        getattr(layer, "is_sliding", False) for layer in cache.layers if layer is not states
    )
    states.beside, states.mark = cache.layers, _mark(cache)


def _is_known(cache: Any) -> bool:
    """Whether transformers itself defines how it moves rows: a model's own kind of cache may keep some elsewhere."""
    home, bases = "transformers.cache_utils", type(cache).__mro__
    if not any(base.__name__ == "Cache" and base.__module__ == home for base in bases):
        return False
    return all(next(b.__module__ for b in bases if move in vars(b)) == home for move in _MOVES)


def _has_tensors(thing: Any) -> bool:
    """Whether a tensor that is not empty is somewhere in it."""
    left, seen = [thing], set()
    while left:
        part = left.pop()
        if isinstance(part, Tensor):
            if part.numel():
                return True
        elif id(part) not in seen and not isinstance(part, (str, int, float, type(None), type)):
            seen.add(id(part))
            slots = [slot for base in type(part).__mro__ for slot in getattr(base, "__slots__", ())]
            left += tree_leaves(
                [*getattr(part, "__dict__", {}).values(), *(getattr(part, s, None) for s in slots)]
            )
    return False


def _layer_holds(layer: Any) -> bool:
    if isinstance(layer, CachedStates):
        return False
    tokens = layer.get_seq_length() if hasattr(layer, "get_seq_length") else 0
    return int(tokens) > 0 or any(_parts(layer, "has_previous_state"))


def _parts(layer: Any, name: str) -> list[Any]:
    """An attribute of a layer of a cache that may have one of several."""
    found = getattr(layer, name, {})
    return list(found.values()) if isinstance(found, dict) else [found]


def _mark(cache: Any) -> Any:
    """What tells a cache from the same one after another call: its tokens, or the versions of recurrent states."""
    layers = [layer for layer in cache.layers if not isinstance(layer, CachedStates)]
    lengths = [int(layer.get_seq_length()) for layer in layers if hasattr(layer, "get_seq_length")]
    if lengths:
        return max(lengths)
    recurrent = [
        part
        for layer in layers
        for name in ("conv_states", "recurrent_states")
        for part in _parts(layer, name)
    ]
    tensors = [part for part in recurrent if isinstance(part, Tensor)]
    if any(tensor.is_inference() for tensor in tensors):
        return UNKNOWN
    return tuple((id(tensor), tensor._version) for tensor in tensors)
