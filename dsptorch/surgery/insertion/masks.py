"""Padding masks and caches, read from the arguments of the modules around an inserted layer.

The layer itself receives hidden states only. So the modules around it that take a mask, a cache, or a signal from
outside publish them for the duration of their call. A mask counts for the signal that it was given with, and for what
is made of that signal; never because shapes agree.
"""

from typing import Any

import torch
from torch import Tensor

from dsptorch.layers.call_context import Call, Mask, current_call, enter_call, remember_in_backward
from dsptorch.surgery.hf_cache import holds_tokens
from dsptorch.surgery.insertion.mask_formats import read_by_name
from dsptorch.surgery.insertion.signature import COMPANIONS, TOWERS, Signature

__all__ = ["begin_call", "end_call"]

_Known = list[tuple[Tensor, Mask | None]]


def begin_call(signature: Signature, arguments: dict[str, Any]) -> Call:
    """Enter the call of a module, for the layers within it, and return the call around it, to be entered again."""
    outer = current_call()
    has_cache = outer.has_cache
    if has_cache is None and signature.caches:  # the outermost knows; the inner ones see it being filled
        has_cache = any(holds_tokens(arguments.get(name)) for name in signature.caches)
    inner = outer.within(has_cache=has_cache)
    return enter_call(inner if outer.explicit else _with_signals(inner, signature, arguments))


def end_call(output: Any) -> None:
    """Make the call known to the backward pass from a module's output, where checkpoints run layers again."""
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():  # one without padding replaces one with
        remember_in_backward(output, current_call().within(signals=()))


def _with_signals(call: Call, signature: Signature, arguments: dict[str, Any]) -> Call:
    """The call within a module: the mask of its signal, and those of the signals beside it."""
    signals = dict(signature.signals(arguments))
    if not signals:
        return call
    known: _Known = []
    masks: dict[str, Mask | None] = {}
    for name in sorted(signals, key=lambda name: name not in COMPANIONS):  # the key may be the query
        masks[name] = _mask_of(name, signals[name], signature, arguments, [*known, *call.signals], call.mask)
        known.append((signals[name], masks[name]))
    changed = [name for name in signals if name not in COMPANIONS] or list(signals)
    read = [masks[name] for name in changed]
    has_own = any(isinstance(arguments.get(mask), Tensor) for mask in signature.described.values())
    several = signature.several or (has_own and len(changed) > 1)
    mask = _any_of(read, " and ".join(changed)) if several else read[0]
    return call._replace(mask=mask, signals=tuple(known))


def _mask_of(
    name: str,
    signal: Tensor,
    signature: Signature,
    arguments: dict[str, Any],
    known: _Known,
    outer: Mask | None,
) -> Mask | None:
    """The mask of one of a module's signals: its own, that of the same tensor further out, or that around."""
    argument = signature.described.get(name, "")
    value = arguments.get(argument)
    mask = _own_mask(name, signal, signature, argument, value, outer)
    if mask is not None:
        return mask
    for tensor, of_tensor in known:
        if tensor is signal:
            return of_tensor
    if name in TOWERS:
        if outer is None or outer.several:
            return None  # a signal from outside, without a mask
        if value is None:
            return outer._replace(doubt=f"was given with another tensor than {name} of {signature.owner}")
    beside = (mask for other, mask in signature.described.items() if other != name)
    if argument and value is None and any(isinstance(arguments.get(mask), Tensor) for mask in beside):
        return None  # the module tells its masks apart, and has none for this signal
    return outer


def _own_mask(
    name: str, signal: Tensor, signature: Signature, argument: str, value: Any, outer: Mask | None
) -> Mask | None:
    """The padding mask that a module was given for one of its signals."""
    if not isinstance(value, Tensor):
        return None
    mask = read_by_name(argument, value, signature.owner, signal, named=name in TOWERS)
    if mask is None:
        return None
    if mask.doubt and outer is not None and outer.ids.shape == mask.ids.shape:
        return outer
    if not signature.caches or signal.dim() < 2:
        return mask
    # Beside a cache the mask is of all tokens, and the signal of the last ones.
    return mask._replace(ids=mask.ids[:, max(0, mask.ids.shape[1] - signal.shape[1]) :])


def _any_of(masks: list[Mask | None], signals: str) -> Mask | None:
    """The masks of several signals, of which a layer may see any."""
    found = [mask for mask in masks if mask is not None]
    if not found:
        return None
    ids = torch.cat([mask.ids.reshape(1, -1) for mask in found], 1)
    source = " and ".join(dict.fromkeys(mask.source for mask in found))
    return Mask(ids, source, f"marks padding beside {signals}, of which the layer may see any", several=True)
