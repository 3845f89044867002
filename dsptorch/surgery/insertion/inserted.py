"""The forward of a module while layers are inserted around it."""

from collections.abc import Iterable
from typing import Any

from torch import nn

from dsptorch.layers.call_context import enter_call
from dsptorch.surgery.insertion.layout import apply_in_layout
from dsptorch.surgery.insertion.masks import begin_call, end_call, names_read
from dsptorch.surgery.insertion.signal import Argument, change_signal, with_signal
from dsptorch.surgery.interpose import Interposer, is_own_forward
from dsptorch.surgery.lost import check_acts

__all__ = [
    "NAMES",
    "InsertedForward",
    "attach",
    "detach",
    "positions_taken",
    "sync_interposers",
]

NAMES = {"before": "dsp_before", "after": "dsp_after"}
"""The names of inserted layers, as children of their place."""


class InsertedForward(Interposer):
    """A forward with a layer before or after it. It gives inserted layers inside the module its mask and cache."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__(module)
        self.signal = Argument(None, "")
        self.reads = names_read(module)
        self.layouts: dict[str, str] = {}  # by position

    @property
    def inserts_layers(self) -> bool:  # noqa: D102
        return bool(self.layouts)

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
        output = self.call_original(args, kwargs)
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
    forward = InsertedForward.beneath(target) or InsertedForward(target).attach()
    if not forward.layouts:
        target.register_forward_pre_hook(check_acts, with_kwargs=True)
    forward.signal = signal
    forward.layouts[position] = layout


def detach(target: nn.Module, position: str) -> None:
    """Take such a child out; `sync_interposers` then decides whether the module's forward is given back."""
    forward = InsertedForward.beneath(target)
    if forward is not None:
        del forward.layouts[position]
    if forward is None or not forward.layouts:
        if forward is not None:
            forward.detach()
        for key, hook in list(target._forward_pre_hooks.items()):
            if hook is check_acts:
                del target._forward_pre_hooks[key], target._forward_pre_hooks_with_kwargs[key]
    delattr(target, NAMES[position])


def sync_interposers(model: nn.Module, targets: Iterable[str]) -> None:
    """Interpose at the modules around these places that take a mask or a cache, and nowhere else."""
    around = {name for target in targets for name in _prefixes(target)}
    for name, module in list(model.named_modules()):
        forward = InsertedForward.beneath(module)
        if name in around and names_read(module):
            if forward is None:
                InsertedForward(module).attach()
        elif forward is not None and not forward.layouts:
            forward.detach()


def positions_taken(target: nn.Module) -> list[str]:
    """The positions at which layers are inserted around a module: "before", "after"."""
    forward = InsertedForward.beneath(target)
    if forward is not None:
        return list(forward.layouts)
    # Where something gave the forward back, they do not act, but can be taken out.
    lost = check_acts in target._forward_pre_hooks.values() and is_own_forward(target)
    return [position for position, child in NAMES.items() if lost and child in target._modules]


def _prefixes(target: str) -> list[str]:
    """The names of a module and of all around it; the model itself is ""."""
    parts = target.split(".")
    return [".".join(parts[:count]) for count in range(len(parts) + 1)]
