"""Run a whole model in chunks."""

import inspect
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn

from dsptorch.layers import Layer
from dsptorch.surgery.find import outermost
from dsptorch.surgery.hf_cache import cache_names
from dsptorch.surgery.interpose import Interposer
from dsptorch.surgery.lost import has_insertion, refuse_lost
from dsptorch.surgery.streams.stream import Stream
from dsptorch.surgery.streams.streamed import Copied, EncoderLayer, StreamedLayer, StreamedModule

__all__ = ["streaming"]

_interposing = threading.Lock()


@contextmanager
def streaming(model: nn.Module) -> Iterator[Stream]:
    """Within this context each call of the model continues the signal of the previous call.

    Every dsptorch layer in the model, inserted or built in, continues from its state instead of from rest.

    The rest of the model must continue by itself, for example attention with its key-value cache; without it, chunks
    give other outputs than the whole; `dsptorch.testing.assert_streaming_equals_batch(model, example)` tells.
    HuggingFace models do, and their `generate` works within this context: greedy, sampling, beam search, with padding
    on the left. The states are then kept in the model's cache: an empty cache is a new signal, and a call without a
    cache (use_cache=False) is a whole signal.

    The context belongs to a thread or a coroutine. Other threads call the model as if the context were not open, and
    may open their own; only a cache carries its states into every thread. A call that raises changes no state. A copy
    of the model does not stream.

    Args:
        model: A model with dsptorch layers. A layer that is called more than once in a forward pass cannot stream,
            because it would have one state for two signals.

    Yields:
        The `Stream`, with `states` by name of the layer, `reset`, `select`, `state_dict` and `load_state_dict`.

    Raises:
        ValueError: If a layer looks ahead, is used in two places, is outside the module that takes the model's cache,
            or is called twice in one forward pass; if there is no layer; or if the model already streams here. From a
            call: if its cache holds tokens that the layers did not see, or is of an unsupported kind; if an activation
            checkpoint would run a layer again; or if another thread runs the same signal.

    Example:
        >>> import torch
        >>> from dsptorch import FIR
        >>> model, x = nn.Sequential(FIR(4, 3, init="lowpass"), nn.Linear(4, 4)), torch.randn(1, 10, 4)
        >>> with streaming(model):
        ...     y = torch.cat([model(chunk) for chunk in x.split(3, dim=1)], dim=1)
        >>> torch.allclose(y, model(x), atol=1e-6)
        True
    """
    with _interposing:
        _forget_copies(model)
        layers = outermost(model)
        caches = _cache_takers(model, layers)
        encoders = set().union(*(_in_encoders(name, model, layers) for name in caches))
        streamed = {name: layer for name, layer in layers.items() if name not in encoders}
        _check(model, layers, streamed, caches)
        stream = Stream(streamed)
        interposers: list[Interposer] = [
            StreamedModule(model.get_submodule(name), stream, *names) for name, names in caches.items()
        ]
        if not caches and not isinstance(model, Layer):
            interposers.append(StreamedModule(model, stream))
        interposers += [StreamedLayer(layer, stream, name, bool(caches)) for name, layer in streamed.items()]
        interposers += [EncoderLayer(layers[name], stream) for name in encoders]
        for interposer in interposers:
            interposer.attach()
    try:
        with stream.opened():
            yield stream
    finally:
        with _interposing:
            for interposer in interposers:
                interposer.detach()


def _forget_copies(model: nn.Module) -> None:
    for module in model.modules():
        copied = Copied.of(module)
        if copied is not None:
            copied.detach()


def _check(
    model: nn.Module, layers: dict[str, Layer], streamed: dict[str, Layer], caches: Mapping[str, Any]
) -> None:
    refuse_lost(model)
    if not layers:
        raise ValueError(f"{type(model).__name__} has no dsptorch layer to stream")
    seen: set[int] = set()
    for name, layer in layers.items():
        if id(layer) in seen:
            raise ValueError(
                f"{name} stands in two places of the model, so it would have one state for two signals; "
                "give each place a layer of its own"
            )
        seen.add(id(layer))
        if layer.lookahead and name in streamed:
            raise ValueError(
                f"{name or 'the model'} looks ahead by {layer.lookahead} samples and cannot stream"
            )
        if any(
            isinstance(f, (StreamedLayer, EncoderLayer)) and f.stream.is_here()
            for f in Interposer.around(layer)
        ):
            raise ValueError(f"{name or 'the model'} streams already; leave that context")
        if has_insertion(layer):
            raise ValueError(
                f"{name or 'the model'} has a layer inserted around it, which would be left behind; insert at another "
                "module, or build a Chain of both"
            )
        if caches and not any(name in _within(taker, layers) for taker in caches):
            raise ValueError(
                f"{name} stands outside of {next(iter(caches))}, whose cache says where a signal begins; stream that "
                "module alone, or let the module around both take the cache as an argument of its own"
            )


def _cache_takers(
    model: nn.Module, layers: dict[str, Layer]
) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """The names of the modules around layers that take a cache; the names of their caches, and of all arguments."""
    found = {}
    for name, module in model.named_modules():
        if _within(name, layers):
            arguments = tuple(inspect.signature(module.forward).parameters)
            caches = cache_names(arguments)
            if caches:
                found[name] = caches, arguments
    return found


def _in_encoders(name: str, model: nn.Module, layers: dict[str, Layer]) -> set[str]:
    """The layers in the encoder of an encoder-decoder, or in one for images or audio, as transformers tells them."""
    module: Any = model.get_submodule(name)
    if not hasattr(module, "get_encoder"):
        return set()
    text = [None] if getattr(getattr(module, "config", None), "is_encoder_decoder", False) else []
    encoders = [module.get_encoder(modality=modality) for modality in (*text, "image", "audio")]
    found: set[str] = set()
    for inner, part in module.named_modules(prefix=name):
        if part is not module and any(part is encoder for encoder in encoders):
            found |= _within(inner, layers)
    return found


def _within(name: str, layers: dict[str, Layer]) -> set[str]:
    return {layer for layer in layers if not name or layer.startswith(f"{name}.")}
