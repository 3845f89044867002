"""Signals in the memory layouts of other people's models, as (batch, time, channels) and back."""

from math import prod
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from dsptorch.layers import Layer
from dsptorch.layers.context import current_call
from dsptorch.surgery.insertion.nested import apply_to_nested

__all__ = ["LAYOUTS", "apply_in_layout"]

LAYOUTS = ("btd", "tbd", "bct")
"""(batch, time, channels); (time, batch, channels); (batch, channels, ..., time), whose other dimensions are rows."""


def apply_in_layout(layer: nn.Module, x: Any, layout: str, name: str) -> Tensor:
    """Apply a layer, which takes (batch, time, channels), to a signal of another layout.

    Args:
        layer: A dsptorch layer, or any module on (batch, time, channels).
        x: The signal; its rows may differ in length (a nested tensor).
        layout: One of `LAYOUTS`.
        name: The layer's name, for an error.

    Raises:
        TypeError, ValueError: If x is no such signal.
    """
    _check(layer, x, layout, name)
    if x.is_nested:
        return apply_to_nested(layer, x, layout)
    if layout == "btd":
        return layer(x)  # type: ignore[no-any-return]
    if layout == "tbd":
        return _laid_out_as(x, layer(x.transpose(0, 1)).transpose(0, 1))
    return _laid_out_as(x, _apply_to_rows(layer, x.movedim(1, -1)).movedim(-1, 1))


def _laid_out_as(x: Tensor, y: Tensor) -> Tensor:
    """Y with its memory in order where that of x is: the model may take a view of it."""
    return y.contiguous() if x.is_contiguous() else y


def _apply_to_rows(layer: nn.Module, x: Tensor) -> Tensor:
    """Apply a layer to (batch, ..., time, channels)."""
    flat, ids = x.flatten(0, -3), current_call().segment_ids
    if ids is not None and x.dim() > 3 and isinstance(layer, Layer):
        # Each row of an image has the ids of the image.
        y = layer(flat, ids.repeat_interleave(prod(x.shape[1:-2]), 0))
    else:
        y = layer(flat)
    unfolded: Tensor = y.unflatten(0, x.shape[:-2])
    return unfolded


def _check(layer: nn.Module, x: Any, layout: str, name: str) -> None:
    if isinstance(x, PackedSequence):
        raise TypeError(
            f"{name} acts on a tensor, got a PackedSequence; give the model a padded batch, and the layers its "
            "lengths by dsptorch.segmented(ids), with -1 at padding"
        )
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} acts on a tensor, got a {type(x).__name__}; insert it at another module")
    if not x.is_floating_point():
        raise TypeError(
            f"{name} acts on a signal, got {x.dtype}; insert it where the model holds hidden states: after the "
            "embedding, position='after', or at its first block"
        )
    if x.is_nested:  # has no sizes
        return
    if layout == "bct" and x.dim() < 3:
        raise ValueError(f"{name} needs (batch, channels, ..., time), got shape {tuple(x.shape)}")
    channels_last = x.dim() < 3 or not isinstance(layer, Layer) or x.shape[-1] == layer.d_model
    if layout != "bct" and not channels_last and x.shape[1] == layer.d_model:
        raise ValueError(
            f"{name} takes {layer.d_model} channels in the last dimension, got shape {tuple(x.shape)}; if they are in "
            "dimension 1, insert it with layout='bct'"
        )
