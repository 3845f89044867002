"""Convert states to flat dictionaries of tensors, which can be saved, and back."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from dsptorch.layers import Layer, State

VERSION = 2
"""Version of the format. It goes up when the parts of a state, or their meaning, change."""


def save_states(states: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten states into a dictionary of tensors by layer and path, with a version number."""
    parts = {
        name + pytree.keystr(path): leaf.detach().clone()
        for name, state in states.items()
        for path, leaf in pytree.tree_leaves_with_path(state)
    }
    return {"version": VERSION, **parts}


def load_states(saved: Mapping[str, Any], layers: Mapping[str, Layer]) -> dict[str, Any]:
    """Rebuild states from their flat form.

    Raises:
        ValueError: If they have another version, or belong to other layers.
    """
    if saved.get("version") != VERSION:
        raise ValueError(
            f"saved states must be of version {VERSION}, got {saved.get('version')!r}; save them anew with this "
            "version of dsptorch"
        )
    left = {key: value for key, value in saved.items() if key != "version"}
    rows = {value.shape[0] for value in left.values() if isinstance(value, Tensor) and value.dim()}
    if len(rows) > 1:
        raise ValueError(f"saved states must be of one number of rows, got {sorted(rows)}")
    states = {}
    for name, layer in layers.items():
        if not any(key.startswith(f"{name}.") for key in left):
            continue  # it was at rest
        states[name] = _filled(_example(layer, next(iter(rows))), name, layer.grid, left)
    if left:
        raise ValueError(
            f"saved states must be of the layers {', '.join(layers)}, got also {', '.join(sorted(left))}; load them "
            "into the model that they were saved from"
        )
    return states


def _example(layer: Layer, rows: int) -> State:
    """The state of a layer after 0 samples, for its structure."""
    like = next((t for t in (*layer.parameters(), *layer.buffers()) if t.is_floating_point()), torch.empty(0))
    with torch.no_grad():
        return layer.step(torch.zeros(rows, 0, layer.d_model, dtype=like.dtype, device=like.device))[1]


def _is_phase(value: Tensor, like: Tensor, grid: int) -> bool:
    return value.dim() == like.dim() == 3 and value.shape[::2] == like.shape[::2] and value.shape[1] < grid


def _filled(example: State, name: str, grid: int, left: dict[str, Any]) -> State:
    def take(path: Any, leaf: Tensor) -> Tensor:
        key = name + pytree.keystr(path)
        value = left.pop(key, None)
        # The length of the phase is a number by itself: the samples since the last block.
        if not (isinstance(value, Tensor) and (value.shape == leaf.shape or _is_phase(value, leaf, grid))):
            got = tuple(value.shape) if isinstance(value, Tensor) else value
            raise ValueError(
                f"the saved state {key} must be of shape {tuple(leaf.shape)}, got {got}; load the states into the "
                "model that they were saved from"
            )
        return value.to(leaf.device, copy=True)

    state: State = pytree.tree_map_with_path(take, example)
    return state
