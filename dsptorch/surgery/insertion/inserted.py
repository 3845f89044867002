"""What the forward of a module is while layers are inserted around it."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from torch import nn

from dsptorch.layers.context import enter_call
from dsptorch.surgery.insertion.layout import apply_in_layout
from dsptorch.surgery.insertion.masks import begin_call, end_call, names_read
from dsptorch.surgery.insertion.signal import Argument, change_signal, with_signal

__all__ = ["NAMES", "InsertedForward", "attach", "detach", "positions_taken", "tell_calls"]

NAMES = {"before": "dsp_before", "after": "dsp_after"}
"""The names of inserted layers, as children of their place."""


class InsertedForward:
    """A module's own forward, between inserted layers, or around some: it tells them of its mask and its cache.

    It is set on the instance. Hooks would do the same, but `torch.compile` does not guard on hooks: it would run the
    code of a plain model for one with insertions that was compiled after it.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.signal = Argument(None, "")
        self.reads = names_read(module)
        self.own = vars(module).get("forward")  # most modules have only their class's
        self.layouts: dict[str, str] = {}  # by position

    @property
    def __signature__(self) -> inspect.Signature:
        # HuggingFace's generate and Trainer look for the names of the arguments.
        return inspect.signature(self.own or type(self.module).forward.__get__(self.module))

    @property
    def __code__(self) -> Any:  # `torch.export` looks for its place in a file
        own: Callable[..., Any] = self.own or type(self.module).forward
        return own.__code__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the layers and the module."""
        if not self.reads:
            return self._run(args, kwargs)
        outer = begin_call(self.reads, args, kwargs)
        try:
            output = self._run(args, kwargs)
            end_call(output)
        finally:
            enter_call(outer)
        return output

    def _run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        module = self.module
        if "before" in self.layouts:
            changed = change_signal(self.signal, args, kwargs, lambda x: self._apply("before", x))
            if changed is None:
                raise TypeError(
                    f"{NAMES['before']} acts on the argument {self.signal.name!r} of {type(module).__name__}, which "
                    f"was called with {', '.join(kwargs) or 'no argument'}; call it with that one, or insert at "
                    "another module"
                )
            args, kwargs = changed
        output = (
            type(module).forward(module, *args, **kwargs) if self.own is None else self.own(*args, **kwargs)
        )
        if "after" not in self.layouts:
            return output
        owner = type(module).__name__
        return with_signal(output, lambda y: self._apply("after", y), NAMES["after"], owner)

    def _apply(self, position: str, x: Any) -> Any:
        name = NAMES[position]
        return apply_in_layout(self.module.get_submodule(name), x, self.layouts[position], name)


def attach(target: nn.Module, position: str, layer: nn.Module, layout: str, signal: Argument) -> None:
    """Make a layer the child `dsp_before` or `dsp_after` of a module, and let it act."""
    target.add_module(NAMES[position], layer)
    forward = _inserted_forward(target)
    if not forward.layouts:
        target.register_forward_pre_hook(_no_fast_path)
    forward.signal = signal
    forward.layouts[position] = layout


def detach(target: nn.Module, position: str) -> None:
    """Take such a child out; without any, and with none around which to tell of calls, the module is as it was."""
    forward = vars(target)["forward"]
    del forward.layouts[position]
    if not forward.layouts:
        _restore(target)
        for key, hook in list(target._forward_pre_hooks.items()):
            if hook is _no_fast_path:
                del target._forward_pre_hooks[key]
    delattr(target, NAMES[position])


def tell_calls(model: nn.Module, targets: Iterable[str]) -> None:
    """Let the modules around these places, and no others, tell of their masks and caches."""
    around = {name for target in targets for name in _prefixes(target)}
    for name, module in list(model.named_modules()):
        forward = vars(module).get("forward")
        if name in around and names_read(module):
            _inserted_forward(module)
        elif isinstance(forward, InsertedForward) and not forward.layouts:
            _restore(module)


def _prefixes(target: str) -> list[str]:
    """The names of a module and of all around it; the model itself is ""."""
    parts = target.split(".")
    return [".".join(parts[:count]) for count in range(len(parts) + 1)]


def _inserted_forward(module: nn.Module) -> InsertedForward:
    forward = vars(module).get("forward")
    if not isinstance(forward, InsertedForward):
        forward = InsertedForward(module)
        module.forward = forward
    return forward


def _restore(module: nn.Module) -> None:
    own = vars(module)["forward"].own
    del module.forward
    if own is not None:
        module.forward = own


def positions_taken(target: nn.Module) -> list[str]:
    """Where layers are inserted around a module: "before", "after"."""
    forward = vars(target).get("forward")
    return list(forward.layouts) if isinstance(forward, InsertedForward) else []


def _no_fast_path(module: nn.Module, args: tuple[Any, ...]) -> None:
    """Do nothing: PyTorch's fast path for transformers reads weights past `forward`, unless it sees a hook."""
