"""Places whose layout cannot be taken for (batch, time, channels)."""

from collections.abc import Iterator

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.pooling import (
    _AdaptiveAvgPoolNd,
    _AdaptiveMaxPoolNd,
    _AvgPoolNd,
    _LPPoolNd,
    _MaxPoolNd,
)

__all__ = ["check_layout_is_clear"]

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
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def check_layout_is_clear(model: nn.Module, name: str, module: nn.Module) -> None:
    """Refuse a place that may have its time or its channels in another dimension, with what to do.

    Time may come first in an RNN or in attention with batch_first=False, in what holds one, and in what stands
    beside one in the same module, as the norm of a transformer layer does.

    Raises:
        ValueError: If it is such a place.
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
            "channels), and a probe to prove it"
        )


def _time_first(model: nn.Module, name: str, module: nn.Module) -> str | None:
    """Why time may come first at a place; None if nothing says so."""
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
        if isinstance(child, _CONTAINERS):
            yield from _members(child)
        else:
            yield child
