"""What the modules around an inserted layer are called with: padding masks, and caches of what came before.

The layer itself is handed hidden states alone. So the modules above it that take a mask or a cache get two hooks, which
tell it for the duration of their call.
"""

import inspect
import threading
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from dsptorch.layers.context import Call, current_call, enter_call, remember_in_backward
from dsptorch.surgery.cached import cached_tokens

_SIGNALS = ("input_ids", "inputs_embeds", "hidden_states", "input_features", "src", "tgt", "input", "x")


def _from_attention_mask(mask: Tensor, like: Tensor | None) -> Tensor | None:
    """1 is real, 0 padding; larger numbers count packed documents. What is not (batch, time) is no such mask."""
    return mask.long() - 1 if mask.dim() == 2 else None


def _from_padding_mask(mask: Tensor, like: Tensor | None) -> Tensor | None:
    """True is padding, or minus infinity where the mask is added."""
    if mask.dim() != 2:
        return None
    return -(mask if mask.dtype == torch.bool else mask == -torch.inf).long()


def _from_lengths(lengths: Tensor, like: Tensor | None) -> Tensor | None:
    """How many samples of each row are real."""
    if lengths.dim() != 1 or like is None:
        return None
    times = torch.arange(like.shape[1], device=lengths.device)
    return -(times >= lengths.unsqueeze(1)).long()


_MASKS: dict[str, Callable[[Tensor, Tensor | None], Tensor | None]] = {
    "attention_mask": _from_attention_mask,  # HuggingFace
    "src_key_padding_mask": _from_padding_mask,  # nn.TransformerEncoder
    "tgt_key_padding_mask": _from_padding_mask,  # nn.TransformerDecoder
    "key_padding_mask": _from_padding_mask,
    "lengths": _from_lengths,  # torchaudio.models.Conformer
}
CACHE = "past_key_values"


class _Open(threading.local):
    """The calls to go back to, of the modules that run now."""

    before: tuple[Call, ...] = ()


_open = _Open()


def attach_readers(model: nn.Module, targets: Iterable[str]) -> None:
    """Let the modules around some places, and at them, tell what they are called with."""
    for module in _around(model, targets):
        names = tuple(inspect.signature(module.forward).parameters)
        known = any(isinstance(hook, _Enter) for hook in module._forward_pre_hooks.values())
        if not known and not {CACHE, *_MASKS}.isdisjoint(names):
            module.register_forward_pre_hook(_Enter(names), with_kwargs=True)
            module.register_forward_hook(_leave, always_call=True)


def detach_readers(model: nn.Module, targets: Iterable[str]) -> None:
    """Undo `attach_readers`, except around the places that are left."""
    needed = {id(module) for module in _around(model, targets)}
    for module in model.modules():
        if id(module) not in needed:
            before, after = module._forward_pre_hooks, module._forward_hooks
            for key in [key for key, hook in before.items() if isinstance(hook, _Enter)]:
                del before[key], module._forward_pre_hooks_with_kwargs[key]
            for key in [key for key, hook in after.items() if hook is _leave]:
                del after[key], module._forward_hooks_always_called[key]


class _Enter:
    """The hook before a call; it knows the names of the arguments, since Dynamo reads no signatures."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        outer = current_call()
        arguments = {**dict(zip(self.names, args, strict=False)), **kwargs}
        read = None if outer.given else _read(arguments)
        call = Call(
            outer.segment_ids if read is None else read,
            outer.given,
            outer.continues or cached_tokens(arguments.get(CACHE)) > 0,
        )
        _open.before = (*_open.before, outer)
        enter_call(call)


def _leave(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
    call = current_call()
    *left, outer = _open.before
    _open.before = tuple(left)
    enter_call(outer)
    if call.segment_ids is not None and torch.is_grad_enabled() and not torch.compiler.is_compiling():
        remember_in_backward(output, call)


def _read(arguments: dict[str, Any]) -> Tensor | None:
    """The segment ids of a module's input, by its mask."""
    signal = next(
        (arguments[name] for name in _SIGNALS if isinstance(arguments.get(name), Tensor)),
        None,
    )
    for name, convert in _MASKS.items():
        mask = arguments.get(name)
        ids = convert(mask, signal) if isinstance(mask, Tensor) else None
        if ids is not None:
            if signal is not None and CACHE in arguments:
                # Beside a cache the mask is of all tokens, and the input of the last ones.
                return ids[:, max(0, ids.shape[1] - signal.shape[1]) :]
            return ids
    return None


def _around(model: nn.Module, targets: Iterable[str]) -> list[nn.Module]:
    names = set()
    for target in targets:
        parts = target.split(".")
        names |= {".".join(parts[:count]) for count in range(len(parts) + 1)}  # the model itself is ""
    return [model.get_submodule(name) for name in sorted(names)]
