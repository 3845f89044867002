"""Convert signals between other layouts and (batch, time, channels)."""

from collections.abc import Iterator
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.pooling import (
    _AdaptiveAvgPoolNd,
    _AdaptiveMaxPoolNd,
    _AvgPoolNd,
    _LPPoolNd,
    _MaxPoolNd,
)
from torch.nn.utils.rnn import PackedSequence, pad_sequence

from dsptorch.layers import Layer
from dsptorch.layers.call_context import current_call
from dsptorch.surgery.find import CONTAINERS

__all__ = ["LAYOUTS", "apply_in_layout", "apply_to_nested", "check_layout_is_clear", "sizes_in_layout"]

LAYOUTS = ("btd", "tbd", "bct")
"""(batch, time, channels); (time, batch, channels); (batch, channels, ..., time), whose other dimensions are rows."""


def sizes_in_layout(x: Any, layout: str) -> tuple[int, int] | None:
    """The batch and time of a signal; None for a nested tensor, whose rows differ in length."""
    if not isinstance(x, Tensor) or x.is_nested or x.dim() < 3:
        return None
    if layout == "tbd":
        return x.shape[1], x.shape[0]
    return x.shape[0], x.shape[-1 if layout == "bct" else 1]


def apply_in_layout(layer: nn.Module, x: Any, layout: str, name: str) -> Tensor:
    """Apply a layer on (batch, time, channels) to a signal of another layout.

    Args:
        layer: A dsptorch layer, or any module on (batch, time, channels).
        x: The signal; its rows may differ in length (a nested tensor).
        layout: One of `LAYOUTS`.
        name: The layer's name, for errors.

    Raises:
        TypeError, ValueError: If x is not a signal of this layout.
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
    """`y`, contiguous if `x` is: the model may call `.view`."""
    return y.contiguous() if x.is_contiguous() else y


def _apply_to_rows(layer: nn.Module, x: Tensor) -> Tensor:
    """Apply a layer to (batch, ..., time, channels)."""
    flat, call = x.flatten(0, -3), current_call()
    ids = call.segment_ids if call.mask is None else call.mask.ids
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
    if layout != "bct" and not channels_last:
        transposed = x.shape[1] == layer.d_model
        raise ValueError(
            f"{name} takes {layer.d_model} channels in the last dimension, got shape {tuple(x.shape)}; "
            + (
                "if they are in dimension 1, insert it with layout='bct'"
                if transposed
                else f"remove it, and insert a layer of width {x.shape[-1]}"
            )
        )


def apply_to_nested(layer: nn.Module, x: Tensor, layout: str) -> Tensor:
    """Apply a layer separately to each row of a nested tensor.

    Args:
        layer: A dsptorch layer, which runs once on a padded batch, or any module, which runs on row after row.
        x: Rows of (time, channels), or of (channels, time) if the layout is "bct".
        layout: The layout of the place; the batch of a nested tensor always comes first.

    Returns:
        A nested tensor of the same kind and lengths.

    Raises:
        ValueError: If there are gaps between its rows.
    """
    if layout == "bct":
        return apply_to_nested(layer, x.transpose(1, 2), "btd").transpose(1, 2)
    if x.layout == torch.jagged and x.lengths() is not None:  # type: ignore[attr-defined]
        raise ValueError(
            "a nested tensor must be contiguous for an inserted layer, got one with holes; call contiguous()"
        )
    rows = list(x.unbind())
    if isinstance(layer, Layer):
        padded = pad_sequence(rows, batch_first=True)
        y = layer(padded, _segment_ids(rows, padded))
        done = [row[: len(before)] for row, before in zip(y, rows, strict=True)]
    else:
        done = [layer(row.unsqueeze(0)).squeeze(0) for row in rows]
    if x.layout == torch.jagged:  # with the offsets of x, so that both can be added
        offsets = x.offsets()  # type: ignore[attr-defined]
        return torch.nested.nested_tensor_from_jagged(torch.cat(done), offsets=offsets)
    return torch.nested.as_nested_tensor(done)


def _segment_ids(rows: list[Tensor], padded: Tensor) -> Tensor:
    """The segment ids of the call (0 if there are none), with -1 after the end of each row."""
    batch, time = padded.shape[:2]
    given = current_call().segment_ids
    ids = torch.zeros(batch, time) if given is None else given[:, :time]
    ends = torch.tensor([len(row) for row in rows], device=padded.device).unsqueeze(1)
    after = torch.arange(time, device=padded.device) >= ends
    return ids.to(padded.device, torch.int64).masked_fill(after, -1)


_POOLS = (_AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd, _AvgPoolNd, _LPPoolNd, _MaxPoolNd)
_CHANNELS_SECOND = (_ConvNd, _NormBase, nn.GroupNorm, *_POOLS)
_DECIDES = (nn.RNNBase, nn.MultiheadAttention)
_DECIDES_BY_PARTS = (
    nn.TransformerEncoderLayer,
    nn.TransformerDecoderLayer,
    nn.TransformerEncoder,
    nn.TransformerDecoder,
    nn.Transformer,
)


def check_layout_is_clear(model: nn.Module, name: str, module: nn.Module) -> None:
    """Refuse a place whose time or channels may be in another dimension, with advice.

    Time may come first in an RNN or attention with batch_first=False, in modules that contain one, and in modules
    beside one, such as the norm of a transformer layer.

    Raises:
        ValueError: If the layout is unclear.
    """
    if isinstance(module, _CHANNELS_SECOND):
        raise ValueError(
            f"{name} is a {type(module).__name__}, whose channels come second; give layout='bct', which filters along "
            "the last dimension"
        )
    reason = _time_first(model, name, module)
    if reason is not None:
        raise ValueError(
            f"{name} {reason} with batch_first=False, so time may come first, and the layer would filter across the "
            "batch; give layout='tbd' if its signal is (time, batch, channels), layout='btd' if it is (batch, time, "
            "channels), and an example to prove it"
        )


def _time_first(model: nn.Module, name: str, module: nn.Module) -> str | None:
    """The reason why time may come first at a place; None if there is none."""
    if isinstance(module, _DECIDES) and not module.batch_first:
        return f"is a {type(module).__name__}"
    part = _part_with_time_first(module)
    if part is not None:
        return f"holds a {type(part).__name__}"
    parts = name.split(".")
    around = [model.get_submodule(".".join(parts[:count])) for count in range(len(parts))]
    for neighbour in (member for outer in around for member in _members(outer) if member not in around):
        if isinstance(neighbour, (*_DECIDES, *_DECIDES_BY_PARTS)) and _part_with_time_first(neighbour):
            return f"stands beside a {type(neighbour).__name__}"
    return None


def _part_with_time_first(module: nn.Module) -> nn.Module | None:
    for part in module.modules():
        if isinstance(part, _DECIDES) and not part.batch_first:
            return part
    return None


def _members(module: nn.Module) -> Iterator[nn.Module]:
    """The children of a module, and those of containers among them."""
    for child in module.children():
        if isinstance(child, CONTAINERS):
            yield from _members(child)
        else:
            yield child
