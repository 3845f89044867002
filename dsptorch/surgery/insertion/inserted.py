"""The forward of a module with inserted layers."""

from collections.abc import Iterable
from typing import Any

from torch import nn

from dsptorch.layers.call_context import current_call, enter_call
from dsptorch.surgery.insertion.layout import apply_in_layout, sizes_in_layout
from dsptorch.surgery.insertion.mask_rules import MaskRule, read_rules
from dsptorch.surgery.insertion.masks import begin_call, end_call
from dsptorch.surgery.insertion.signal import Argument, change_signal, with_signal
from dsptorch.surgery.insertion.signature import signature_of
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
    """A forward with a layer before or after it. Inserted layers inside the module get its mask and cache."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__(module)
        self.signal = Argument(None, "")
        self.reads = signature_of(module)
        self.layouts: dict[str, str] = {}  # by position
        self.places: dict[str, str] = {}  # by position, the names of the layers in the model, for errors
        self.masks: dict[str, MaskRule] = {}  # by position, where the user said which
        self.rules: tuple[
            MaskRule, ...
        ] = ()  # of the layers within, if this is the model that they were inserted into

    @property
    def inserts_layers(self) -> bool:  # noqa: D102
        return bool(self.layouts)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the layers and the module."""
        if not (self.reads.matters or self.rules):
            return self._run(args, kwargs)
        arguments = self.reads.arguments(args, kwargs)
        outer = begin_call(self.reads, arguments)
        try:
            if self.rules:
                read_rules(self.rules, arguments, self.reads.owner)
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
                    f"{self.places['before']} acts on the argument {self.signal.name!r} of {type(module).__name__}, "
                    f"which was called with {', '.join(kwargs) or 'no argument'}; call it with that one, or insert at "
                    "another module"
                )
            args, kwargs = changed
        output = self.call_original(args, kwargs)
        if "after" not in self.layouts:
            return output
        owner = type(module).__name__
        return with_signal(output, lambda y: self._apply("after", y), self.places["after"], owner)

    def _apply(self, position: str, x: Any) -> Any:
        layer = self.module.get_submodule(NAMES[position])
        place, layout = self.places[position], self.layouts[position]
        call, rule = current_call(), self.masks.get(position)
        sizes = sizes_in_layout(x, layout)
        if call.explicit or sizes is None:
            return apply_in_layout(layer, x, layout, place)
        if rule is not None:
            mask = rule.of_call(call, place)
            ids = None if mask is None else mask.of(sizes, place)
        else:
            ids = call.ids_of(x, place, sizes)
        outer = enter_call(call.with_ids(ids))
        try:
            return apply_in_layout(layer, x, layout, place)
        finally:
            enter_call(outer)


def attach(
    name: str,
    target: nn.Module,
    position: str,
    layer: nn.Module,
    layout: str,
    signal: Argument,
    rule: MaskRule | None = None,
) -> None:
    """Make a layer the child `dsp_before` or `dsp_after` of a module of this name, and activate it."""
    target.add_module(NAMES[position], layer)
    forward = InsertedForward.beneath(target) or InsertedForward(target).attach()
    if not forward.layouts:
        target.register_forward_pre_hook(check_acts, with_kwargs=True)
    forward.signal = signal
    forward.layouts[position] = layout
    forward.places[position] = f"{name}.{NAMES[position]}"
    if rule is not None:
        forward.masks[position] = rule


def detach(target: nn.Module, position: str) -> None:
    """Remove an inserted child; `sync_interposers` then decides whether to restore the module's forward."""
    forward = InsertedForward.beneath(target)
    if forward is not None:
        del forward.layouts[position]
        del forward.places[position]
        forward.masks.pop(position, None)
    if forward is None or not forward.layouts:
        if forward is not None:
            forward.detach()
        for key, hook in list(target._forward_pre_hooks.items()):
            if hook is check_acts:
                del target._forward_pre_hooks[key], target._forward_pre_hooks_with_kwargs[key]
    delattr(target, NAMES[position])


def sync_interposers(model: nn.Module, targets: Iterable[str], rule: MaskRule | None = None) -> None:
    """Interpose at exactly those modules around the layers that take a mask, a cache or a signal.

    Args:
        model: The model.
        targets: The names of the modules with layers at them.
        rule: A new rule for the mask of some of them, which is read from the arguments of the model.
    """
    around = {name for target in targets for name in _prefixes(target)}
    parts = list(model.named_modules())
    in_use = [each for _, module in parts for each in _rules_at(module)]
    for name, module in parts:
        forward = InsertedForward.beneath(module)
        rules = () if forward is None else forward.rules
        rules = (*rules, rule) if rule is not None and name == "" else rules
        rules = tuple(each for each in rules if each in in_use and each.mask is not False)
        if name in around and (rules or signature_of(module).matters):
            forward = forward or InsertedForward(module).attach()
            forward.rules = rules
        elif forward is not None:
            forward.rules = ()
            if not forward.layouts:
                forward.detach()


def _rules_at(module: nn.Module) -> list[MaskRule]:
    forward = InsertedForward.beneath(module)
    return [] if forward is None else list(forward.masks.values())


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
