"""Putting layers into models that we do not own, and taking them out again."""

import inspect
from collections import Counter
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from dsptorch.layers import Blend, Layer
from dsptorch.surgery.calls import attach_readers, detach_readers
from dsptorch.surgery.find import Where, find
from dsptorch.surgery.streaming import StreamedForward

_NAMES = {"before": "dsp_before", "after": "dsp_after"}


def insert(
    model: nn.Module,
    where: Where,
    build: Callable[[nn.Module], nn.Module],
    *,
    position: str = "before",
    identity: bool = False,
) -> list[str]:
    """Insert a layer before or after submodules of any model, in place.

    The layer becomes a child of the submodule, named `dsp_before` or `dsp_after`, and acts on its first
    argument or on its output, inside the submodule's own hooks. Nothing else changes: classes and the names of
    parameters stay, so old checkpoints load with `strict=False`, and `remove` restores the model exactly.
    deepcopy, pickle, `torch.compile` and DistributedDataParallel go on working (`nn.DataParallel`, whose
    replicas share the instance's `forward`, does not). Everything is checked before anything is changed.
    Insertions at the same place are applied in the order in which they came.

    Args:
        model: Any module.
        where: The submodules: a glob on names (`*` does not cross a dot), a type, or a predicate of name and
            module; see `find`. Layers inserted before, and their parts, do not match.
        build: Called with each submodule found; returns a new layer for it, on its device and in its dtype.
        position: "before" (on the input) or "after" (on the output).
        identity: True starts every layer as the exact identity, to be opened by training; see `Blend`.

    Returns:
        The names of the inserted layers.

    Raises:
        TypeError, ValueError: If nothing matches; if a submodule is shared between names, runs its children
            itself (Sequential), is never called (within MultiheadAttention) or is part of a dsptorch layer; or
            if `build` returns no module, one that is in use, or one that holds one. The model is unchanged.

    Example:
        >>> import torch
        >>> from dsptorch import Multirate
        >>> model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
        >>> insert(model, "*", lambda linear: Multirate(linear.in_features))
        ['0.dsp_before', '1.dsp_before']
        >>> model(torch.randn(2, 5, 8)).shape
        torch.Size([2, 5, 8])
        >>> remove(model)
        ['0.dsp_before', '1.dsp_before']
    """
    if position not in _NAMES:
        raise ValueError(f"position must be 'before' or 'after', got {position!r}")
    targets = {name: module for name, module in find(model, where).items() if not _is_inserted(name)}
    if not targets:
        raise ValueError(f"{where!r} matches nothing but layers that were inserted before")
    _check_places(model, targets)
    arguments = {name: _first_argument(name, module) for name, module in targets.items()}
    layers = {name: build(module) for name, module in targets.items()}
    _check_new(model, layers)
    if identity:
        layers = {name: _blend(name, layer) for name, layer in layers.items()}

    names = []
    for name, target in targets.items():
        child = _free_name(target, _NAMES[position])
        target.add_module(child, layers[name].train(target.training))
        _attach(target, child, position, arguments[name])
        names.append(f"{name}.{child}")
    attach_readers(model, targets)
    return names


def remove(model: nn.Module, where: Where | None = None) -> list[str]:
    """Take inserted layers out again; the model is then as it was before they came.

    Args:
        model: The model.
        where: Which of the inserted layers: a glob on their names, a type, or a predicate; None is all.

    Returns:
        The names of the removed layers.

    Raises:
        ValueError: If there are none, or `where` matches something that was not inserted.

    Example:
        >>> from dsptorch import FIR
        >>> model = nn.Sequential(nn.Linear(8, 8))
        >>> insert(model, "0", lambda _: FIR(8), position="after")
        ['0.dsp_after']
        >>> remove(model, "*.dsp_after"), model
        (['0.dsp_after'], Sequential(
          (0): Linear(in_features=8, out_features=8, bias=True)
        ))
    """
    inserted = _inserted(model)
    if not inserted:
        raise ValueError(f"there is no inserted layer in {type(model).__name__}")
    chosen = inserted if where is None else find(model, where)
    if isinstance(where, type) or callable(where):
        chosen = {name: layer for name, layer in chosen.items() if name in inserted}
    foreign = [name for name in chosen if name not in inserted]
    if foreign or not chosen:
        raise ValueError(
            f"{where!r} matches {foreign[0] if foreign else 'nothing'} that was inserted; "
            f"inserted layers are: {', '.join(inserted)}"
        )
    for name in chosen:
        parent, child = name.rpartition(".")[::2]
        _detach(model.get_submodule(parent), child)
    detach_readers(model, [name.rpartition(".")[0] for name in inserted if name not in chosen])
    return list(chosen)


class _Forward:
    """What a module's `forward` is while layers are inserted: its own, between them.

    It is set on the instance. Hooks would do the same, but `torch.compile` does not guard on hooks: it would run the
    code of a plain model for one with insertions that was compiled after it.
    """

    def __init__(self, module: nn.Module, argument: str) -> None:
        self.module, self.argument = module, argument
        self.own = vars(module).get("forward")  # most modules have only their class's
        self.before: tuple[str, ...] = ()
        self.after: tuple[str, ...] = ()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        module = self.module
        for name in self.before:
            layer = module.get_submodule(name)
            if args:
                args = (layer(args[0]), *args[1:])
            elif self.argument in kwargs:
                kwargs = {**kwargs, self.argument: layer(kwargs[self.argument])}
            else:
                raise TypeError(
                    f"{name} acts on the argument {self.argument!r} of {type(module).__name__}, which was called with "
                    f"{', '.join(kwargs) or 'no argument'}"
                )
        output = (
            type(module).forward(module, *args, **kwargs) if self.own is None else self.own(*args, **kwargs)
        )
        for name in self.after:
            output = _applied(module, name, output)
        return output


def _no_fast_path(module: nn.Module, args: tuple[Any, ...]) -> None:
    """Do nothing: PyTorch's fast path for transformers reads weights past `forward`, unless it sees a hook."""


def _applied(module: nn.Module, name: str, output: Any) -> Any:
    """Apply a child to an output, or to the first of several."""
    layer = module.get_submodule(name)
    if isinstance(output, Tensor):
        return layer(output)
    if type(output) in (tuple, list) and output and isinstance(output[0], Tensor):
        return type(output)((layer(output[0]), *output[1:]))
    raise TypeError(
        f"{name} was inserted after {type(module).__name__}, whose output must be a tensor or a tuple that starts with "
        f"one, got {type(output).__name__}; insert it before the next submodule instead"
    )


def _attach(target: nn.Module, child: str, position: str, argument: str) -> None:
    forward = vars(target).get("forward")
    if not isinstance(forward, _Forward):
        forward = _Forward(target, argument)
        target.forward = forward
        target.register_forward_pre_hook(_no_fast_path)
    if position == "before":
        forward.before += (child,)
    else:
        forward.after += (child,)


def _detach(target: nn.Module, child: str) -> None:
    forward = vars(target)["forward"]
    forward.before = tuple(name for name in forward.before if name != child)
    forward.after = tuple(name for name in forward.after if name != child)
    if not forward.before + forward.after:
        del target.forward
        for key, hook in list(target._forward_pre_hooks.items()):
            if hook is _no_fast_path:
                del target._forward_pre_hooks[key]
        if forward.own is not None:
            target.forward = forward.own
    delattr(target, child)


def _inserted(model: nn.Module) -> dict[str, nn.Module]:
    found = {}
    for name, module in model.named_modules():
        forward = vars(module).get("forward")
        if isinstance(forward, _Forward):
            for child in forward.before + forward.after:
                found[f"{name}.{child}" if name else child] = module.get_submodule(child)
    return found


def _is_inserted(name: str) -> bool:
    return any(part.startswith(tuple(_NAMES.values())) for part in name.split("."))


def _free_name(target: nn.Module, stem: str) -> str:
    name, count = stem, 1
    while hasattr(target, name):
        count += 1
        name = f"{stem}_{count}"
    return name


def _first_argument(name: str, module: nn.Module) -> str:
    """The name of what a module acts on."""
    parameters = inspect.signature(module.forward).parameters
    if not parameters:
        raise TypeError(f"{name} is a {type(module).__name__} whose forward takes no argument to act on")
    return next(iter(parameters))


def _check_places(model: nn.Module, targets: dict[str, nn.Module]) -> None:
    """Refuse the places at which an inserted layer would not act, or more than once."""
    for name, module in targets.items():
        if isinstance(module, (nn.Sequential, nn.ModuleList, nn.ModuleDict)):
            raise ValueError(
                f"{name} is a {type(module).__name__}, which runs its children itself, and would "
                f"run an inserted one as one of them; insert at a member of it, '{name}.0' say"
            )
        if isinstance(vars(module).get("forward"), StreamedForward):
            raise ValueError(f"{name} is streaming; leave that context before inserting")
        for end in range(len(name)):
            above = model.get_submodule(name[:end]) if name[end] == "." or end == 0 else None
            if isinstance(above, nn.MultiheadAttention):
                raise ValueError(
                    f"{name} is a part of nn.MultiheadAttention, which reads its weights and never calls it; "
                    f"insert at {name[:end]}, or narrow where"
                )
            if isinstance(above, Layer):
                raise ValueError(
                    f"{name} is a part of the dsptorch layer {name[:end] or 'that the model is'}, which would not "
                    "know of it; build a Chain instead"
                )
    uses = Counter(id(module) for _, module in model.named_modules(remove_duplicate=False))
    for name, module in targets.items():
        if uses[id(module)] > 1:
            raise ValueError(
                f"{name} is used in {uses[id(module)]} places of the model, so one layer's state would serve them "
                "all; give each place its own module first"
            )


def _check_new(model: nn.Module, layers: dict[str, nn.Module]) -> None:
    known = {id(module) for module in model.modules()}
    for name, layer in layers.items():
        if not isinstance(layer, nn.Module):
            raise TypeError(
                f"build must return a module, got {layer!r} of type {type(layer).__name__} for {name}"
            )
        if not known.isdisjoint(map(id, layer.modules())):
            raise ValueError(
                f"build must return a new module for each place, got for {name} one that is already in use, or holds "
                "one that is"
            )
        known.add(id(layer))


def _blend(name: str, layer: nn.Module) -> nn.Module:
    if not isinstance(layer, Layer):
        raise TypeError(
            f"identity=True needs a dsptorch layer, got {type(layer).__name__} for {name}; "
            "wrap it in Pointwise, or make it start as the identity itself"
        )
    parameter = next(layer.parameters(), None)
    if parameter is None:
        return Blend(layer)
    return Blend(layer, device=parameter.device, dtype=parameter.dtype)
