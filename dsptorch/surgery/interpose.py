"""Replace a module's `forward`, and restore it."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, TypeVar

from torch import nn

__all__ = ["Interposer", "is_own_forward"]

Kind = TypeVar("Kind", bound="Interposer")


class Interposer:
    """An object that replaces the `forward` of one module, and can call and restore it.

    It is set on the instance, so the class and all other models do not change. Hooks are not sufficient:
    `torch.compile` does not guard on hooks, and would reuse the code of a plain model for a model with hooks compiled
    after it. The object holds the module and not a bound method, so a deepcopy or a pickle of the module has its own.

    Several interposers around a module are ordered by their `depth`, not by their time of attachment. Each can be
    detached separately.

    Args:
        module: The module. Nothing changes before `attach`.

    Attributes:
        depth: 0 is outermost.
        original: The previous forward of the instance: another interposer, or a function set by other code. None for
            the forward of its class.
    """

    depth: ClassVar[int] = 0

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.original: Callable[..., Any] | None = None

    @classmethod
    def of(cls: type[Kind], module: nn.Module) -> Kind | None:
        """Return the interposer of this kind around a module; None if there is none, or another function hides it."""
        forward = vars(module).get("forward")
        while isinstance(forward, Interposer) and not isinstance(forward, cls):
            forward = forward.original
        return forward if isinstance(forward, cls) else None

    @classmethod
    def beneath(cls: type[Kind], module: nn.Module) -> Kind | None:
        """Return the interposer of this kind that acts around a module, even if another function hides it."""
        return next((forward for forward in Interposer.around(module) if isinstance(forward, cls)), None)

    @staticmethod
    def around(module: nn.Module) -> Iterator["Interposer"]:
        """Yield the interposers that act around a module, outermost first, including those wrapped by other functions.

        A wrapper names the function that it calls in `__wrapped__`, as `functools.wraps` and accelerate's hooks do. A
        wrapped interposer acts, but cannot be detached.
        """
        forward = vars(module).get("forward")
        while forward is not None:
            if isinstance(forward, Interposer):
                yield forward
                forward = forward.original
            else:
                forward = getattr(forward, "__wrapped__", None)

    @property
    def inserts_layers(self) -> bool:
        """Whether it runs layers that were inserted at its module."""
        return False

    @property
    def __signature__(self) -> inspect.Signature:
        # `insert`, `streaming`, and HuggingFace's generate and Trainer look for the names of the arguments.
        return inspect.signature(self.original or type(self.module).forward.__get__(self.module))

    @property
    def __code__(self) -> Any:  # `torch.export` looks for its place in a file
        original: Callable[..., Any] = self.original or type(self.module).forward
        return original.__code__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the module. A subclass defines what happens around the original forward."""
        return self.call_original(args, kwargs)

    def call_original(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the replaced forward."""
        if self.original is None:
            return type(self.module).forward(self.module, *args, **kwargs)
        return self.original(*args, **kwargs)

    def attach(self: Kind) -> Kind:
        """Replace the module's forward, inside the interposers that are further out."""
        outer, inner = None, vars(self.module).get("forward")
        while isinstance(inner, Interposer) and inner.depth < self.depth:
            outer, inner = inner, inner.original
        self.original = inner
        _put(self.module, outer, self)
        return self

    def detach(self) -> None:
        """Restore the forward; interposers further out stay."""
        outer, inner = None, vars(self.module).get("forward")
        while isinstance(inner, Interposer) and inner is not self:
            outer, inner = inner, inner.original
        if inner is self:
            _put(self.module, outer, self.original)


def is_own_forward(module: nn.Module) -> bool:
    """Whether a module has the forward of its class."""
    forward = vars(module).get("forward")
    return forward is None or getattr(forward, "__func__", None) is type(module).forward


def _put(module: nn.Module, outer: Interposer | None, forward: Callable[..., Any] | None) -> None:
    """Let `outer` call this forward, or the module itself if nothing is further out; None is that of its class."""
    if outer is not None:
        outer.original = forward
    elif forward is None:
        del module.forward
    else:
        module.forward = forward
