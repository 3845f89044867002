"""Padding masks and caches, read from the arguments of the modules around an inserted layer.

The layer itself receives hidden states only. So the modules around it that take a mask or a cache publish them for
the duration of their call.
"""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from dsptorch.layers.call_context import Call, current_call, enter_call, remember_in_backward
from dsptorch.surgery.hf_cache import cache_names, holds_tokens
from dsptorch.surgery.insertion.signal import SIGNALS


def _from_attention_mask(mask: Tensor, like: Tensor | None) -> Tensor | None:
    """1 is real, 0 is padding; larger numbers count packed documents. A mask that is not (batch, time) is ignored."""
    return mask.long() - 1 if mask.dim() == 2 else None


def _from_padding_mask(mask: Tensor, like: Tensor | None) -> Tensor | None:
    """True is padding, or minus infinity where the mask is added."""
    if mask.dim() != 2:
        return None
    return -(mask if mask.dtype == torch.bool else mask == -torch.inf).long()


def _from_lengths(lengths: Tensor, like: Tensor | None) -> Tensor | None:
    """The number of real samples of each row."""
    if lengths.dim() != 1 or like is None:
        return None
    batch_first = like.shape[0] == len(lengths)
    times = torch.arange(like.shape[1 if batch_first else 0], device=lengths.device)
    return -(times >= lengths.unsqueeze(1)).long()


_MASKS: dict[str, Callable[[Tensor, Tensor | None], Tensor | None]] = {
    "attention_mask": _from_attention_mask,  # HuggingFace
    "src_key_padding_mask": _from_padding_mask,  # nn.TransformerEncoder
    "tgt_key_padding_mask": _from_padding_mask,  # nn.TransformerDecoder
    "key_padding_mask": _from_padding_mask,
    "lengths": _from_lengths,  # torchaudio.models.Conformer
}


def names_read(module: nn.Module) -> tuple[str, ...]:
    """The names of a module's arguments, if a mask or a cache is among them."""
    names = tuple(inspect.signature(module.forward).parameters)
    return names if cache_names(names) or not _MASKS.keys().isdisjoint(names) else ()


def begin_call(names: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    """Enter the call of a module, for the layers within it, and return the call around it, to be entered again."""
    outer = current_call()
    arguments = {**dict(zip(names, args, strict=False)), **kwargs}
    read = None if outer.explicit else _read(arguments)
    has_cache = outer.has_cache
    caches = cache_names(names)
    if has_cache is None and caches:  # the outermost knows; the inner ones see it being filled
        has_cache = any(holds_tokens(arguments.get(name)) for name in caches)
    return enter_call(Call(outer.segment_ids if read is None else read, outer.explicit, has_cache))


def end_call(output: Any) -> None:
    """Make the call known to the backward pass from a module's output, where checkpoints run layers again."""
    call = current_call()
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():  # one without padding replaces one with
        remember_in_backward(output, call)


def _read(arguments: dict[str, Any]) -> Tensor | None:
    """The segment ids of a module's input, by its mask."""
    signal = next(
        (arguments[name] for name in ("input_ids", *SIGNALS) if isinstance(arguments.get(name), Tensor)),
        None,
    )
    for name, convert in _MASKS.items():
        mask = arguments.get(name)
        ids = convert(mask, signal) if isinstance(mask, Tensor) else None
        if ids is not None:
            if signal is not None and cache_names(arguments):
                # Beside a cache the mask is of all tokens, and the input of the last ones.
                return ids[:, max(0, ids.shape[1] - signal.shape[1]) :]
            return ids
    return None
