"""States of layers inside a HuggingFace cache: they are reordered, repeated and reset with it."""

from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

__all__ = [
    "CACHE",
    "CachedStates",
    "cached_tokens",
    "find_cache",
    "holds_tokens",
    "put_states",
    "select_rows",
    "states_in",
]

CACHE = "past_key_values"
"""The argument, and the output, by which a model takes and gives its cache."""


class CachedStates:
    """A last layer of a `transformers.Cache` that holds the states of the layers of a `Stream`.

    A cache asks each of its layers to reorder, repeat, select or forget its rows. This class does not derive from
    the layer class of transformers, so nothing here imports transformers.
    """

    keys = values = None
    is_initialized = True
    supports_early_init = False
    is_compileable = False
    is_croppable = False

    def __init__(self, like: Any) -> None:
        self.states: dict[str, Any] = {}
        self.length = 0  # of the tokens that the layers have seen
        self.is_sliding = getattr(like, "is_sliding", False)  # masks look for the first layer of a kind

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Beam search: row i continues row beam_idx[i]."""
        self.states = select_rows(self.states, beam_idx)

    batch_select_indices = reorder_cache

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Each row becomes several."""
        self.states = tree_map_only(Tensor, lambda leaf: leaf.repeat_interleave(repeats, 0), self.states)

    def reset(self) -> None:
        """Forget everything."""
        self.states, self.length = {}, 0

    def crop(self, tokens_to_remove: int) -> None:
        """Refuse: the samples before are gone."""
        _refuse_crop(tokens_to_remove)

    def get_max_length(self) -> int:
        """Return -1: there is no maximum."""
        return -1

    def get_seq_length(self) -> int:
        """The number of tokens seen."""
        return self.length

    def offload(self) -> None:
        """Do nothing: the states are small."""

    prefetch = offload


def find_cache(*candidates: Any) -> Any | None:
    """The cache among arguments or in the outputs of a model: what has layers and a length."""
    for candidate in candidates:
        inner = getattr(candidate, "self_attention_cache", candidate)  # of an encoder-decoder
        if hasattr(inner, "layers") and hasattr(inner, "get_seq_length"):
            return inner
    return None


def cached_tokens(cache: Any) -> int:
    """How many tokens a HuggingFace cache holds; 0 without one."""
    found = find_cache(cache)
    return 0 if found is None else int(found.get_seq_length())


def holds_tokens(cache: Any) -> bool:
    """Whether a model continues from this cache; a cache of an unknown kind counts if it holds a tensor."""
    if cache is None or find_cache(cache) is not None:
        return cached_tokens(cache) > 0
    return any(isinstance(leaf, Tensor) and leaf.numel() > 0 for leaf in tree_leaves(cache))


def states_in(cache: Any) -> CachedStates | None:
    """The states that a cache holds."""
    return next((layer for layer in cache.layers if isinstance(layer, CachedStates)), None)


def put_states(cache: Any, states: CachedStates) -> None:
    """Put states into a cache. The cache then refuses to be cropped, before it has cropped anything."""
    if states not in cache.layers:
        cache.layers.append(states)
        cache.crop = _refuse_crop
    states.length = cached_tokens(cache)


def select_rows(states: Any, rows: Tensor) -> Any:
    """The states of the rows with these indices; a row that is named twice is copied."""
    return tree_map_only(Tensor, lambda leaf: leaf.index_select(0, rows.to(leaf.device)), states)


def _refuse_crop(tokens_to_remove: int) -> None:
    raise ValueError(
        f"the cache holds the states of dsptorch layers, which cannot go back, but {tokens_to_remove} tokens were to "
        "be removed; begin anew, or keep a copy.deepcopy(cache) from before them (assisted generation needs cropping: "
        "leave the assistant out)"
    )
