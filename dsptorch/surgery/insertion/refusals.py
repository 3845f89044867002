"""Refuse places where a layer cannot be inserted, with advice."""

from collections import Counter

from torch import nn

from dsptorch.layers import Layer
from dsptorch.surgery.find import CONTAINERS
from dsptorch.surgery.insertion.inserted import NAMES, InsertedForward, positions_taken
from dsptorch.surgery.insertion.layout import check_layout_is_clear
from dsptorch.surgery.lost import is_lost, lost
from dsptorch.surgery.streams.streamed import StreamedLayer

__all__ = ["check_places", "check_removable", "is_inserted"]

# By name, because importing them takes seconds.
_WRAPPERS = {
    "DistributedDataParallel": "synchronizes the parameters that it found; insert into the plain model, and wrap that",
    "DataParallel": "runs copies, which would call the inserted layer of the first; insert into the plain model, and "
    "train it with DistributedDataParallel",
    "FullyShardedDataParallel": "shards the parameters that it found; insert into the plain model, and shard that",
    "FSDPModule": "shards the parameters that it found; insert into the plain model, and shard that",
    "OptimizedModule": "is what torch.compile returned; insert into the plain model (its _orig_mod), and compile that",
    "ScriptModule": "cannot be changed; insert into the Python model, and script or export that",
    "BaseTunerLayer": "is what PEFT put around a module, and takes out again when it merges the adapter; insert at a "
    "module around it",
    "AuxiliaryTrainingWrapper": "is what PEFT put around a module, and takes out again when it unloads the adapter; "
    "insert at a module around it",
}


def check_places(model: nn.Module, targets: dict[str, nn.Module], position: str, layout: str | None) -> None:
    """Refuse places where an inserted layer would not act, act twice, or filter along the wrong dimension.

    Raises:
        ValueError: For the first such place, with advice.
    """
    for name, module in model.named_modules():
        if StreamedLayer.of(module) is not None:
            raise ValueError(f"{name or 'the model'} is streaming; leave that context before inserting")
    uses = Counter(id(module) for _, module in model.named_modules(remove_duplicate=False))
    for name, module in targets.items():
        _check_kind(name, module, position)
        _check_around(model, name, module, position)
        if uses[id(module)] > 1:
            raise ValueError(
                f"{name} is used in {uses[id(module)]} places of the model, so one layer's state would serve them "
                "all; give each place its own module first"
            )
        _check_free(name, module, position)
        if layout is None:
            check_layout_is_clear(model, name, module)


def check_removable(model: nn.Module) -> None:
    """Refuse a model from which an inserted layer cannot be removed.

    Raises:
        ValueError: If other code wrapped or replaced the forward of a module since. The error names the module.
    """
    for name, module in model.named_modules():
        if is_lost(module) and not positions_taken(module):
            raise lost(name)
        if InsertedForward.of(module) is not InsertedForward.beneath(module):
            raise ValueError(
                f"something wrapped the forward of {name or 'the model'} since a layer was inserted, and would keep "
                "the layer; undo that first (what accelerate did, by accelerate.hooks.remove_hook_from_module(model, "
                "recurse=True))"
            )


def is_inserted(name: str) -> bool:
    """Whether a module is an inserted layer, or a part of one, by its name."""
    return any(part in NAMES.values() for part in name.split("."))


def _check_kind(name: str, module: nn.Module, position: str) -> None:
    if isinstance(module, CONTAINERS):
        raise ValueError(
            f"{name} is a {type(module).__name__}, which runs its children itself, and would "
            f"run an inserted one as one of them; insert at one of its members, such as '{name}.0'"
        )
    if position == "before" and isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
        raise ValueError(f"{name} takes ids, which are no signal; insert after it, position='after'")


def _check_around(model: nn.Module, name: str, module: nn.Module, position: str) -> None:
    parts = name.split(".")
    for count in range(len(parts)):
        outer = ".".join(parts[:count])
        above = model.get_submodule(outer)
        if isinstance(above, nn.MultiheadAttention):
            raise ValueError(
                f"{name} is a part of nn.MultiheadAttention, which reads its weights and never calls it; "
                f"insert at {outer or 'a module around it'}, or narrow where"
            )
        if isinstance(above, Layer):
            raise ValueError(
                f"{name} is a part of the dsptorch layer {outer or 'that the model is'}, which would not "
                "know of it; build a Chain instead"
            )
        before_attention = position == "before" and isinstance(module, nn.MultiheadAttention)
        if before_attention and isinstance(above, nn.TransformerEncoder) and above.use_nested_tensor:
            raise ValueError(
                f"{name} would be called with a query that is not its key, which fails where nn.TransformerEncoder "
                f"takes its fast path for padded batches; set {outer or 'the model'}.use_nested_tensor = False first, "
                "or insert at the layers around it"
            )
        _check_wrapper(outer or "the model", above)
    _check_wrapper(name, module)


def _check_wrapper(name: str, module: nn.Module) -> None:
    kinds = {
        base.__name__ for base in type(module).__mro__ if base.__module__.startswith(("torch.", "peft."))
    }
    for kind, hint in _WRAPPERS.items():
        if kind in kinds:
            raise ValueError(f"{name} is a {kind}, which {hint}")


def _check_free(name: str, module: nn.Module, position: str) -> None:
    child = NAMES[position]
    if position in positions_taken(module):
        raise ValueError(
            f"{name} has a layer {position} it already, {name}.{child}; remove(model, '{name}.{child}') first, or "
            "insert one Chain of both"
        )
    if hasattr(module, child):
        raise ValueError(
            f"{name} has something called {child}, where the layer would go: rename it; or if it is an inserted layer, "
            f"something replaced the forward of {name} since: undo that, and remove the layer"
        )
