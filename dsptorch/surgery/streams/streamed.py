"""The forward of the modules of a streaming model."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from dsptorch.layers import Layer
from dsptorch.layers.call_context import current_call, enter_call
from dsptorch.layers.calling import Carry, Process, by_calling
from dsptorch.surgery.cached_states import CachedStates
from dsptorch.surgery.hf_cache import followed, known, memory_before, put_states
from dsptorch.surgery.interpose import Interposer
from dsptorch.surgery.streams.stream import Stream

__all__ = ["Copied", "EncoderLayer", "StreamedLayer", "StreamedModule"]


class Copied(Interposer):
    """Replaces the stream in a copy of a streaming model; it removes itself at the first call."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the module."""
        self.detach()
        return self.call_original(args, kwargs)


class _Streamed(Interposer):
    def __init__(self, module: nn.Module, stream: Stream) -> None:
        super().__init__(module)
        self.stream = stream

    def __reduce__(self) -> tuple[Any, ...]:
        return Copied.__new__, (Copied,), {"module": self.module, "original": self.original}


class StreamedLayer(_Streamed):
    """The forward of a layer: the next chunk of the stream, or a whole signal if the stream is not open here.

    Args:
        layer: The layer.
        stream: The stream.
        name: The layer's name in the stream.
        by_cache: Whether the model takes a cache, which then determines where a signal begins.
    """

    module: Layer

    def __init__(self, layer: Layer, stream: Stream, name: str, by_cache: bool) -> None:
        super().__init__(layer, stream)
        self.name, self.by_cache = name, by_cache

    def __call__(self, x: Tensor, segment_ids: Tensor | None = None, *, carry: Carry | None = None) -> Tensor:
        """Run the next chunk; one that brings its memory is none of the stream's."""
        if carry is not None:
            return self._original(x, carry=carry)
        begun = self.stream.forward_pass()
        if begun is not None:
            return begun.run(self.name, self.module, self._process(), x, segment_ids)
        if self.by_cache or not self.stream.is_here():
            y: Tensor = self.call_original((x, segment_ids), {})
            return y
        return self.stream.run_pass(lambda: self(x, segment_ids))  # type: ignore[no-any-return]

    def _process(self) -> Process:
        """The way to the layer's `process`: through what stands in the place of its forward, if something does."""
        if (
            self.original is None and not torch.compiler.is_dynamo_compiling()
        ):  # whose guard on hooks is in forward
            return self.module.process
        return partial(by_calling, self._original)

    def _original(self, x: Tensor, *, carry: Carry) -> Tensor:
        y: Tensor = self.call_original((x,), {"carry": carry})
        return y


class EncoderLayer(_Streamed):
    """The forward of a layer in an encoder, which sees whole signals for any cache of the decoder."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the layer."""
        outer = enter_call(current_call().within(has_cache=False))
        try:
            return self.call_original(args, kwargs)
        finally:
            enter_call(outer)


class StreamedModule(_Streamed):
    """The forward of the model, or of a module that takes a cache: a forward pass of the stream.

    Args:
        module: The module.
        stream: The stream.
        caches: The names of its arguments that are caches; () for a model without one.
        arguments: The names of all its arguments.
    """

    def __init__(
        self, module: nn.Module, stream: Stream, caches: tuple[str, ...] = (), arguments: tuple[str, ...] = ()
    ) -> None:
        super().__init__(module, stream)
        self.caches, self.arguments = caches, arguments

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the module as a forward pass."""
        here = self.stream.is_here()
        if self.stream.forward_pass() is not None or not (here or self.caches):
            return self.call_original(args, kwargs)
        if not self.caches:
            return self.stream.run_pass(lambda: self.call_original(args, kwargs))
        return self._run_on_cache(here, args, kwargs)

    def _run_on_cache(self, here: bool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        given = {**dict(zip(self.arguments, args, strict=False)), **kwargs}
        cache = followed({name: given.get(name) for name in self.caches})
        if cache is None and (not here or given.get("use_cache") is False):
            return self.call_original(args, kwargs)  # a whole signal
        memory = CachedStates() if cache is None else memory_before(cache)
        output = self.stream.run_pass(lambda: self.call_original(args, kwargs), memory)
        parts = (
            output
            if isinstance(output, (tuple, list))
            else [getattr(output, name, None) for name in self.caches]
        )
        filled = next((part for part in map(known, parts) if part is not None), cache)
        if filled is None:
            self.stream.forget()
        else:
            put_states(filled, memory)
        return output
