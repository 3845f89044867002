"""Running a whole model in chunks."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from dsptorch.layers import Layer


class Stream:
    """The states of a model's layers between the chunks of one signal; `streaming` makes it."""

    def __init__(self, layers: dict[str, Layer]) -> None:
        self._layers = layers
        self._called: set[str] | None = None  # in the present forward pass of the model; None between two
        self.states: dict[str, Any] = {}

    def reset(self) -> None:
        """Start a new signal: every layer at rest, at position 0."""
        self.states.clear()

    def _begin(self, *_: Any) -> None:
        self._called = set()

    def _end(self, *_: Any) -> None:
        self._called = None

    def _forward(self, name: str, x: Tensor) -> Tensor:
        if self._called is not None:
            if name in self._called:
                raise ValueError(
                    f"{name or 'the model'} was called twice in one forward pass, so it would have one state for two "
                    "signals; give each place a layer of its own"
                )
            self._called.add(name)
        y, self.states[name] = self._layers[name].step(x, self.states.get(name))
        return y


@contextmanager
def streaming(model: nn.Module) -> Iterator[Stream]:
    """Within this context each call of the model continues the signal of the call before.

    Every dsptorch layer in the model, inserted or built in, continues from its state instead of from rest.
    The rest of the model must continue by itself: attention by its cache, say.

    Args:
        model: A model with dsptorch layers. A layer that is called more than once in a forward pass cannot
            stream: it would have one state for two signals.

    Yields:
        The `Stream`: its `states` by the layers' names, and `reset()`.

    Raises:
        ValueError: If a layer looks ahead, stands in two places, or is called twice in one forward pass; if there
            is none; or if the model streams already.

    Example:
        >>> import torch
        >>> from dsptorch import FIR
        >>> model, x = nn.Sequential(FIR(4, 3, init="lowpass"), nn.Linear(4, 4)), torch.randn(1, 10, 4)
        >>> with streaming(model):
        ...     y = torch.cat([model(chunk) for chunk in x.split(3, dim=1)], dim=1)
        >>> torch.allclose(y, model(x), atol=1e-6)
        True
    """
    layers = _outermost(model)
    if not layers:
        raise ValueError(f"{type(model).__name__} has no dsptorch layer to stream")
    for name, layer in layers.items():
        if layer.lookahead:
            raise ValueError(
                f"{name or 'the model'} looks ahead by {layer.lookahead} samples and cannot stream"
            )
        if "forward" in vars(layer):
            raise ValueError(
                f"{name or 'the model'} streams already, or something was inserted around it; leave that "
                "context, or insert around another module"
            )
    stream = Stream(layers)
    hooks = (
        model.register_forward_pre_hook(stream._begin),
        model.register_forward_hook(stream._end, always_call=True),
    )
    try:
        for name, layer in layers.items():
            # On the instance, so that the class, and every other model, is as before.
            layer.forward = _Forward(stream, name)  # type: ignore[assignment,method-assign]
        yield stream
    finally:
        for hook in hooks:
            hook.remove()
        for layer in layers.values():
            if isinstance(vars(layer).get("forward"), _Forward):
                del layer.forward


class _Forward:
    """What a layer's `forward` is while it streams."""

    def __init__(self, stream: Stream, name: str) -> None:
        self.stream, self.name = stream, name

    def __call__(self, x: Tensor) -> Tensor:
        return self.stream._forward(self.name, x)


def _outermost(model: nn.Module) -> dict[str, Layer]:
    """The layers that are not part of another layer: that one keeps their states."""
    found: dict[str, Layer] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        inside = any(name.startswith(f"{outer}.") or outer == "" for outer in found)
        if isinstance(module, Layer) and not inside:
            if any(module is other for other in found.values()):
                raise ValueError(
                    f"{name} stands in two places of the model, so it would have one state for two signals; "
                    "give each place a layer of its own"
                )
            found[name] = module
    return found
