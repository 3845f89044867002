"""Insert layers into existing models, and remove them."""

from collections.abc import Callable
from typing import Literal

from torch import nn

from dsptorch.functional.validate import check_bool
from dsptorch.layers import Blend, Layer
from dsptorch.surgery.find import Where, find
from dsptorch.surgery.insertion.inserted import NAMES, attach, detach, positions_taken, sync_interposers
from dsptorch.surgery.insertion.layout import LAYOUTS
from dsptorch.surgery.insertion.mask_rules import MaskArgument, MaskRule
from dsptorch.surgery.insertion.refusals import check_places, check_removable, is_inserted
from dsptorch.surgery.insertion.row_mixing import Example, check_rows
from dsptorch.surgery.insertion.signal import signal_argument
from dsptorch.surgery.lost import refuse_lost


def insert(
    model: nn.Module,
    where: Where,
    build: Callable[[nn.Module], nn.Module],
    *,
    position: str = "before",
    identity: bool = False,
    layout: str | None = None,
    example: Example | None = None,
    batch_dim: int = 0,
    mask: MaskArgument | Literal[False] | None = None,
) -> list[str]:
    """Insert a layer before or after submodules of any model, in place.

    The layer becomes a child of the submodule, named `dsp_before` or `dsp_after`. It acts on the submodule's first
    argument (if the name of the first argument says that it is ids, a mask, lengths or a cache, on `hidden_states`,
    `x`, `input`, ...), or on its output (the first tensor of a tuple, list, mapping or dataclass), inside the
    submodule's own hooks. Rows of different length (a nested tensor) are processed separately. Nothing else changes:
    classes, signatures and the names of parameters stay the same, so old checkpoints load with `strict=False`, and
    `remove` restores the model exactly. deepcopy, pickle, `torch.compile` and DistributedDataParallel still work
    (`nn.DataParallel`, whose replicas share the instance's `forward`, does not). All checks run before any change.

    If a module around the layer is called with a signal and its padding mask (`attention_mask`,
    `src_key_padding_mask`, `lengths`, ...), the layer ignores padding, and each row begins at its first real sample. A
    mask that numbers documents 1, 2, ... keeps them apart. If there is padding and it is unclear whether it belongs to
    the layer's signal, the layer raises, and `mask` decides. Ids given by `segmented` take precedence. A call that
    continues from a cache of any kind is refused outside `streaming`, because the layers would lose their history.

    Args:
        model: Any module.
        where: The submodules: a glob on names (`*` does not match a dot), a type, or a predicate of name and module;
            see `find`. Layers inserted earlier, and their parts, do not match.
        build: Called with each submodule found; returns a new layer for it, on its device and in its dtype.
        position: "before" (on the input) or "after" (on the output).
        identity: True starts every layer as the exact identity, from which training can move it; see `Blend`.
        layout: The layout of the submodules' signals: "btd" (batch, time, channels), "tbd" (time, batch, channels), or
            "bct" (batch, channels, ..., time), in which middle dimensions such as an image's height are separate rows.
            None is "btd"; submodules of a kind that may have another layout are then refused.
        example: An input of the model: a tensor, a tuple of arguments or a dict of keywords, with at least two
            different rows. The model runs on it, without side effects, to check that the layers are called and do not
            mix rows.
        batch_dim: The batch dimension of the tensors of the example.
        mask: The padding mask of the layers' signal, if the arguments of the surrounding modules do not determine it:
            the name of an argument of `model`; a function of a dict of all its arguments that returns 1 at real samples
            and 0 at padding, (batch, time); or False for no mask.

    Returns:
        The names of the inserted layers.

    Raises:
        TypeError, ValueError: If nothing matches; if a submodule is shared between names, already has a layer at this
            position, runs its children itself (Sequential), is never called (inside MultiheadAttention), is part of a
            dsptorch layer, is wrapped (DistributedDataParallel, FSDP, torch.compile) or has another layout; if `build`
            does not return a new module, or returns a layer that changes rate or width; or if rows mix. The model is
            then unchanged.

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
    check_bool("identity", identity)
    if position not in NAMES:
        raise ValueError(f"position must be 'before' or 'after', got {position!r}")
    if layout is not None and layout not in LAYOUTS:
        raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, got {layout!r}")
    if isinstance(build, nn.Module):
        raise TypeError(
            f"build must be a function that makes a new layer for each place, got a {type(build).__name__}; write "
            f"lambda module: {type(build).__name__}(...)"
        )
    refuse_lost(model)
    targets = {name: module for name, module in find(model, where).items() if not is_inserted(name)}
    if not targets:
        raise ValueError(f"{where!r} matches nothing but layers that were inserted before")
    check_places(model, targets, position, layout)
    signals = {name: signal_argument(name, module) for name, module in targets.items()}
    rule = None if mask is None else MaskRule(model, mask)
    layers = {name: build(module) for name, module in targets.items()}
    _check_new(model, layers)
    if identity:
        layers = {name: _blend(name, layer) for name, layer in layers.items()}

    names = [f"{name}.{NAMES[position]}" for name in targets]
    try:
        for name, target in targets.items():
            attach(
                name,
                target,
                position,
                layers[name].train(target.training),
                layout or "btd",
                signals[name],
                rule,
            )
        sync_interposers(model, [name.rpartition(".")[0] for name in _inserted(model)], rule)
        if example is not None:
            check_rows(model, names, example, batch_dim)
    except BaseException:
        _take_out(model, [name for name in names if name in _inserted(model)])
        raise
    return names


def remove(model: nn.Module, where: Where | None = None) -> list[str]:
    """Remove inserted layers, which restores the model exactly.

    Args:
        model: The model.
        where: The inserted layers to remove: a glob on their names, a type, or a predicate; None for all.

    Returns:
        The names of the removed layers.

    Raises:
        ValueError: If there are no inserted layers, `where` matches other modules, or other code has wrapped or
            replaced the forward of a module since. Nothing is changed then.

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
    check_removable(model)
    inserted = _inserted(model)
    if not inserted:
        raise ValueError(f"there is no inserted layer in {type(model).__name__}")
    chosen = list(inserted if where is None else find(model, where))
    if isinstance(where, type) or callable(where):
        chosen = [name for name in chosen if name in inserted]
    foreign = [name for name in chosen if name not in inserted]
    if foreign or not chosen:
        found = f"{foreign[0]}, which was not inserted" if foreign else "nothing that was inserted"
        raise ValueError(f"{where!r} matches {found}; inserted layers are: {', '.join(inserted)}")
    _take_out(model, chosen)
    return chosen


def _take_out(model: nn.Module, names: list[str]) -> None:
    inserted = _inserted(model)
    for name in names:
        detach(*inserted.pop(name))
    sync_interposers(model, [name.rpartition(".")[0] for name in inserted])


def _inserted(model: nn.Module) -> dict[str, tuple[nn.Module, str]]:
    """The module and the position of each inserted layer, by the layer's name."""
    return {
        f"{name}.{NAMES[position]}" if name else NAMES[position]: (module, position)
        for name, module in model.named_modules()
        for position in positions_taken(module)
    }


def _check_new(model: nn.Module, layers: dict[str, nn.Module]) -> None:
    known = {id(module) for module in model.modules()}
    for name, layer in layers.items():
        if not isinstance(layer, nn.Module):
            raise TypeError(
                f"build must return a module, got {layer!r} of type {type(layer).__name__} for {name}"
            )
        if isinstance(layer, Layer) and (layer.rate != 1 or layer.d_out != layer.d_model):
            raise ValueError(
                f"insert takes layers that keep rate and width, got for {name} {type(layer).__name__} of rate "
                f"{layer.rate}, {layer.d_model} to {layer.d_out} channels; put it into a Chain that comes back to both"
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
