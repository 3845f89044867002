"""The states of layers as part of a cache of transformers, which moves, repeats and drops them with its rows."""

from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_map_only

__all__ = ["UNKNOWN", "CachedStates", "refuse_crop", "select_rows"]

UNKNOWN = None
"""What a cache held, where that cannot be compared."""


class CachedStates:
    """A last layer of a `transformers.Cache` that holds the states of the layers of a `Stream`.

    A cache asks each of its layers to reorder, repeat, select or drop rows. This class does not derive from the layer
    class of transformers, so this module does not import transformers.

    Attributes:
        states: The states by name of the layer. A step replaces them and does not change them in place.
        missed: The layers that a call on this cache did not reach, so that their history has a gap.
        mark: The content of the cache when the states were stored: number of tokens, or versions of its tensors.
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
        """Drop all states."""
        self.states: dict[str, Any] = {}
        self.missed: frozenset[str] = frozenset()
        self.mark: Any = 0

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Beam search: row i continues row beam_idx[i]."""
        self.states, self.mark = select_rows(self.states, beam_idx), _without_versions(self.mark)

    batch_select_indices = reorder_cache

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat each row."""
        self.states = tree_map_only(Tensor, lambda leaf: leaf.repeat_interleave(repeats, 0), self.states)
        self.mark = _without_versions(self.mark)

    def crop(self, tokens_to_remove: int) -> None:
        """Refuse, because earlier samples are not stored."""
        refuse_crop(tokens_to_remove)

    def get_max_length(self) -> int:
        """Return -1: there is no maximum."""
        return -1

    def get_seq_length(self) -> int:
        """The number of tokens seen, if the cache counts them."""
        return self.mark if isinstance(self.mark, int) else 0

    def offload(self) -> None:
        """Do nothing, because the states are small."""

    def prefetch(self) -> None:
        """Fetch the first layer: an offloaded cache asks the layer after the one that it updates, in a circle."""
        first = next((layer for layer in self.beside if getattr(layer, "keys", None) is not None), self)
        if first is not self:
            first.prefetch()

    def __getstate__(self) -> dict[str, Any]:  # of a copy, whose tensors have versions of their own
        return {**vars(self), "mark": _without_versions(self.mark)}


def select_rows(states: Any, rows: Tensor) -> Any:
    """The states of the rows with the given indices; a repeated index copies its row."""
    return tree_map_only(Tensor, lambda leaf: leaf.index_select(0, rows.to(leaf.device)), states)


def refuse_crop(tokens_to_remove: int) -> None:
    """Refuse to remove tokens, because a layer cannot go back."""
    raise ValueError(
        "the cache holds the states of dsptorch layers, which cannot go back to an earlier token; begin anew, or keep "
        "a copy.deepcopy(cache) from there. Assisted generation goes back: leave out assistant_model and "
        "prompt_lookup_num_tokens"
    )


def _without_versions(mark: Any) -> Any:
    return mark if isinstance(mark, int) else UNKNOWN
