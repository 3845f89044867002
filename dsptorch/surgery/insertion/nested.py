"""Layers on nested tensors, whose rows differ in length."""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from dsptorch.layers import Layer
from dsptorch.layers.context import current_call

__all__ = ["apply_to_nested"]


def apply_to_nested(layer: nn.Module, x: Tensor, layout: str) -> Tensor:
    """Apply a layer to each row of a nested tensor as if it were alone.

    Args:
        layer: A dsptorch layer, which runs once on a padded batch, or any module, which runs on row after row.
        x: Rows of (time, channels), or of (channels, time) if the layout is "bct".
        layout: The layout of the place; the batch of a nested tensor always comes first.

    Returns:
        A nested tensor of the same kind and lengths.

    Raises:
        ValueError: If there are holes between its rows.
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
    """Those that were given or read from a mask, and -1 after the end of each row."""
    batch, time = padded.shape[:2]
    given = current_call().segment_ids
    ids = torch.zeros(batch, time) if given is None else given[:, :time]
    ends = torch.tensor([len(row) for row in rows], device=padded.device).unsqueeze(1)
    after = torch.arange(time, device=padded.device) >= ends
    return ids.to(padded.device, torch.int64).masked_fill(after, -1)
