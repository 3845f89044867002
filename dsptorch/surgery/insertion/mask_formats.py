"""The formats of padding masks, read as segment ids."""

import torch
from torch import Tensor

from dsptorch.layers.call_context import Mask

__all__ = ["read_attention_mask", "read_by_name"]

_MASKED = -1e4
"""An additive mask holds 0, or a number below this: the least of float16 is -65,504."""


def read_by_name(
    name: str, value: Tensor, owner: str, signal: Tensor | None, *, named: bool = True
) -> Mask | None:
    """Read a padding mask in the format that its argument's name tells.

    Args:
        name: The name of the argument.
        value: The mask.
        owner: The type of the module, for an error.
        signal: The signal beside it, of which the first two dimensions are batch and time in either order.
        named: Whether the signal's name tells that (batch, time) is the only meaning of two dimensions.

    Returns:
        The mask; None if the value is not a padding mask but says, for example, who attends to whom.
    """
    source = f"{name} of {owner}"
    if name == "lengths":
        return _from_lengths(value, source, signal)
    if name.endswith("key_padding_mask"):
        return _from_key_padding_mask(value, source)
    return read_attention_mask(value, source, signal, named=named)


def read_attention_mask(
    mask: Tensor, source: str, signal: Tensor | None = None, *, named: bool = True
) -> Mask | None:
    """Read a mask of 1 at real samples and 0 at padding; of 1, 2, ... by document; or of 0 and minus infinity.

    A mask that is not of two dimensions, or square beside a signal that is not, says who attends to whom: None.
    """
    if mask.dim() != 2:
        return None
    square = mask.shape[0] == mask.shape[1]
    if signal is not None and signal.dim() > 1:
        if square and mask.shape[0] > 1 and signal.shape[0] != signal.shape[1]:
            return None
        if mask.shape[0] not in (1, *signal.shape[:2]):
            return None
    doubt = _doubt_of_values(mask)
    if doubt:
        return Mask(torch.full_like(mask, -1, dtype=torch.int64), source, doubt)
    if mask.is_floating_point():
        additive = (mask <= 0).all()
        ids = torch.where(additive, -(mask <= _MASKED).long(), mask.long() - 1)
    else:
        ids = mask.long() - 1
    if square and not named and mask.shape[0] > 1:
        doubt = f"of shape {tuple(mask.shape)} may be (batch, time) or (time, time)"
    return Mask(ids, source, doubt)


def _doubt_of_values(mask: Tensor) -> str:
    """Why the values are in no format that is known. Only the CPU is looked at: elsewhere that would wait."""
    if mask.device.type != "cpu" or torch.compiler.is_compiling() or mask.dtype == torch.bool:
        return ""
    known = (mask >= 0) & (mask == mask.round())
    if mask.is_floating_point() and bool((mask <= 0).all()):
        known = (mask == 0) | (mask <= _MASKED)
    if bool(known.all()):
        return ""
    value = mask[~known][0].item()
    return f"holds {value:g}, and not 1 at real samples and 0 at padding, nor 0 and minus infinity"


def _from_key_padding_mask(mask: Tensor, source: str) -> Mask | None:
    """True is padding, or minus infinity where the mask is added."""
    if mask.dim() != 2:
        return None
    return Mask(-(mask if mask.dtype == torch.bool else mask <= _MASKED).long(), source)


def _from_lengths(lengths: Tensor, source: str, signal: Tensor | None) -> Mask | None:
    """The number of real samples of each row."""
    if lengths.dim() != 1 or signal is None or signal.dim() < 2:
        return None
    if lengths.is_floating_point():
        doubt = "are floating, so that they may be shares of the longest row"
        return Mask((lengths != 1).long().unsqueeze(1), source, doubt)
    batch_first = signal.shape[0] == len(lengths)
    times = torch.arange(signal.shape[1 if batch_first else 0], device=lengths.device)
    return Mask(-(times >= lengths.unsqueeze(1)).long(), source)
