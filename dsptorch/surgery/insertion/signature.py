"""The arguments of modules that say something of their signals: names of signals, masks and caches."""

import inspect
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import Tensor, nn

from dsptorch.surgery.hf_cache import cache_names
from dsptorch.surgery.insertion.signal import signal_argument

__all__ = ["COMPANIONS", "MASKS", "TOWERS", "Signature", "signature_of"]

_TEXT, _DECODER = ("input_ids", "inputs_embeds"), ("decoder_input_ids", "decoder_inputs_embeds")
_GROUPS: tuple[tuple[str, ...], ...] = (
    _TEXT,
    _DECODER,
    *(
        (name,)
        for name in ("inputs", "input_values", "input_features", "pixel_values", "pixel_values_videos")
    ),
    ("src",),
    ("tgt",),
)
TOWERS = frozenset(name for group in _GROUPS for name in group)
"""Names of signals that a model brings from outside, for modules of their own."""
COMPANIONS = ("encoder_hidden_states", "key_value_states", "memory", "key", "value", "inputs")
"""Names of signals that are attended to, beside the one that is changed."""
MASKS: dict[str, tuple[str, ...]] = {
    "attention_mask": (),  # HuggingFace
    "decoder_attention_mask": _DECODER,
    "encoder_attention_mask": ("encoder_hidden_states",),
    "inputs_mask": ("inputs",),
    "src_key_padding_mask": ("src",),  # torch.nn
    "tgt_key_padding_mask": ("tgt",),
    "memory_key_padding_mask": ("memory",),
    "key_padding_mask": ("key",),
    "lengths": (),  # torchaudio
}
"""Masks, and the names of the signals that they describe; the module's own signal where none of these is there."""
_IDS_OF_NO_SIGNAL = r"(type|segment|label|lang|language|speaker|task|mc_token)_ids?"
_NO_SIGNAL = re.compile(
    rf"(^|_)({_IDS_OF_NO_SIGNAL}|masks?|pos\w*|labels?|lengths?|caches?|past|bias|embeddings?|rotary|cos|sin|freqs\w*|"
    r"states?|sizes?|ind(ex|ices)|weights?|scores?|scale|shift|t_?emb|time\w*)($|_)"
)


class Signature(NamedTuple):
    """The arguments of a module that say something of its signals.

    Attributes:
        owner: The type of the module.
        names: All arguments.
        own: The names of its signal: what layers within it see, unless it takes several.
        described: The mask of each signal that has one.
        caches: The names of its caches.
        several: Whether it takes several signals, for modules of their own.
    """

    owner: str
    names: tuple[str, ...]
    own: tuple[str, ...]
    described: dict[str, str]
    caches: tuple[str, ...]
    several: bool

    @property
    def matters(self) -> bool:
        """Whether there is a mask, a cache, or a signal that may be another one than that of the module around."""
        return bool(self.caches) or not {*MASKS, *TOWERS, *COMPANIONS}.isdisjoint(self.names)

    def arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments of a call by name."""
        return {**dict(zip(self.names, args, strict=False)), **kwargs}

    def signals(self, arguments: dict[str, Any]) -> Iterator[tuple[str, Tensor]]:
        """The signals among the arguments of a call: those known by name, and other sequences."""
        for name, value in arguments.items():
            if not isinstance(value, Tensor):
                continue
            sequence = value.dim() > 2 if value.is_floating_point() else value.dim() == 2
            if name in {*self.own, *TOWERS, *COMPANIONS} or (sequence and not _NO_SIGNAL.search(name)):
                yield name, value


def signature_of(module: nn.Module) -> Signature:
    """What a module's arguments say of its signals."""
    names = tuple(inspect.signature(module.forward).parameters)
    own = tuple(name for name in _TEXT if name in names)
    if not own:
        brought = [name for name in names if name in TOWERS and name not in _DECODER]
        own = tuple(brought[:1] if "src" in brought else brought)
    if not own and names:
        own = (signal_argument("", module).name,)
    described = {
        signal: mask
        for mask, signals in MASKS.items()
        if mask in names
        for signal in (tuple(name for name in signals if name in names) or own)
    }
    several = sum(any(name in names for name in group) for group in _GROUPS) > 1
    return Signature(type(module).__name__, names, own, described, cache_names(names), several)
