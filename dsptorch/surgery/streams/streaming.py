"""Run a whole model in chunks."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from dsptorch.layers import Layer
from dsptorch.layers.calling import Carry, Process, by_calling
from dsptorch.surgery.find import outermost
from dsptorch.surgery.hf_cache import CACHE, find_cache
from dsptorch.surgery.interpose import Interposer
from dsptorch.surgery.lost import has_insertion, refuse_lost
from dsptorch.surgery.streams.stream import Stream


@contextmanager
def streaming(model: nn.Module) -> Iterator[Stream]:
    """Within this context each call of the model continues the signal of the call before.

    Every dsptorch layer in the model, inserted or built in, continues from its state instead of from rest.

    The rest of the model must continue by itself: attention by its cache, say. A HuggingFace model does, and its
    `generate` works within this context: greedy, sampling, beam search, with padding on the left. The states are then
    kept in its cache: an empty cache is a new signal, and a call without one (use_cache=False) is a whole signal.

    Args:
        model: A model with dsptorch layers. A layer that is called more than once in a forward pass cannot
            stream: it would have one state for two signals.

    Yields:
        The `Stream`: its `states` by the layers' names, `reset`, `select`, `state_dict` and `load_state_dict`.

    Raises:
        ValueError: If a layer looks ahead, stands in two places, or is called twice in one forward pass; if there
            is none; or if the model streams already. From a call: if its cache holds tokens that the layers did not
            see, or cannot be followed.

    Example:
        >>> import torch
        >>> from dsptorch import FIR
        >>> model, x = nn.Sequential(FIR(4, 3, init="lowpass"), nn.Linear(4, 4)), torch.randn(1, 10, 4)
        >>> with streaming(model):
        ...     y = torch.cat([model(chunk) for chunk in x.split(3, dim=1)], dim=1)
        >>> torch.allclose(y, model(x), atol=1e-6)
        True
    """
    layers = _streamable(model)
    stream = Stream(layers)
    hooks = [
        model.register_forward_pre_hook(stream.begin),
        model.register_forward_hook(stream.end, always_call=True),
    ]
    for holder, names in _cache_holders(model):
        hooks.append(holder.register_forward_pre_hook(_Take(stream, names), with_kwargs=True))
        hooks.append(holder.register_forward_hook(_Give(stream, names), with_kwargs=True))
    try:
        for name, layer in layers.items():
            StreamedForward(layer, stream, name).attach()
        yield stream
    finally:
        for hook in hooks:
            hook.remove()
        for layer in layers.values():
            if (forward := StreamedForward.of(layer)) is not None:
                forward.detach()


class StreamedForward(Interposer):
    """The forward of a layer while it streams."""

    module: Layer

    def __init__(self, layer: Layer, stream: Stream, name: str) -> None:
        super().__init__(layer)
        self.stream, self.name = stream, name

    def __call__(self, x: Tensor, segment_ids: Tensor | None = None, *, carry: Carry | None = None) -> Tensor:
        """Run the next chunk; one that brings its memory is none of the stream's."""
        if carry is not None:
            return self._original(x, carry=carry)
        process: Process = partial(by_calling, self._original)
        if (
            self.original is None and not torch.compiler.is_dynamo_compiling()
        ):  # whose guard on hooks is in forward
            process = self.module.process
        return self.stream.run(self.name, process, x, segment_ids)

    def _original(self, x: Tensor, *, carry: Carry) -> Tensor:
        y: Tensor = self.call_original((x,), {"carry": carry})
        return y


class _Take:
    """The hook before a call of a module that takes a cache."""

    def __init__(self, stream: Stream, names: tuple[str, ...]) -> None:
        self.stream, self.names = stream, names

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.stream.take_states(find_cache(_argument(CACHE, self.names, args, kwargs)))


class _Give(_Take):
    """The hook after such a call."""

    def __call__(  # type: ignore[override]
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        parts = output if isinstance(output, (tuple, list)) else (getattr(output, CACHE, None),)
        self.stream.give_states(find_cache(_argument(CACHE, self.names, args, kwargs), *parts))


def _argument(name: str, names: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return kwargs.get(name, dict(zip(names, args, strict=False)).get(name))


def _streamable(model: nn.Module) -> dict[str, Layer]:
    refuse_lost(model)
    layers = outermost(model)
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
        if layer.lookahead:
            raise ValueError(
                f"{name or 'the model'} looks ahead by {layer.lookahead} samples and cannot stream"
            )
        if StreamedForward.beneath(layer) is not None:
            raise ValueError(f"{name or 'the model'} streams already; leave that context")
        if has_insertion(layer):
            raise ValueError(
                f"{name or 'the model'} has a layer inserted around it, which would be left behind; insert at another "
                "module, or build a Chain of both"
            )
    return layers


def _cache_holders(model: nn.Module) -> list[tuple[nn.Module, tuple[str, ...]]]:
    """The outermost modules that take a cache, with the names of their arguments."""
    found: dict[str, tuple[nn.Module, tuple[str, ...]]] = {}
    for name, module in model.named_modules():
        if any(outer == "" or name.startswith(f"{outer}.") for outer in found):
            continue
        names = tuple(inspect.signature(module.forward).parameters)
        if CACHE in names:
            found[name] = module, names
    return list(found.values())
