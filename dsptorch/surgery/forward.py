"""What the forward of a module is while layers are inserted around it."""

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from dsptorch.surgery.arguments import Argument, change_signal
from dsptorch.surgery.layout import apply_in_layout
from dsptorch.surgery.outputs import with_signal

__all__ = ["NAMES", "InsertedForward", "attach", "detach", "positions_taken"]

NAMES = {"before": "dsp_before", "after": "dsp_after"}
"""The names of inserted layers, as children of their place."""


class InsertedForward:
    """A module's own forward, between inserted layers.

    It is set on the instance. Hooks would do the same, but `torch.compile` does not guard on hooks: it would run the
    code of a plain model for one with insertions that was compiled after it.
    """

    def __init__(self, module: nn.Module, signal: Argument) -> None:
        self.module, self.signal = module, signal
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
    forward = vars(target).get("forward")
    if not isinstance(forward, InsertedForward):
        forward = InsertedForward(target, signal)
        target.forward = forward
        target.register_forward_pre_hook(_no_fast_path)
    forward.layouts[position] = layout


def detach(target: nn.Module, position: str) -> None:
    """Take such a child out; without any the module is as it was."""
    forward = vars(target)["forward"]
    del forward.layouts[position]
    if not forward.layouts:
        del target.forward
        for key, hook in list(target._forward_pre_hooks.items()):
            if hook is _no_fast_path:
                del target._forward_pre_hooks[key]
        if forward.own is not None:
            target.forward = forward.own
    delattr(target, NAMES[position])


def positions_taken(target: nn.Module) -> list[str]:
    """Where layers are inserted around a module: "before", "after"."""
    forward = vars(target).get("forward")
    return list(forward.layouts) if isinstance(forward, InsertedForward) else []


def _no_fast_path(module: nn.Module, args: tuple[Any, ...]) -> None:
    """Do nothing: PyTorch's fast path for transformers reads weights past `forward`, unless it sees a hook."""
