"""Inserted layers that something has hidden, or lost, since."""

from torch import nn

from dsptorch.surgery.insertion.inserted import InsertedForward, check_acts, positions_taken

__all__ = ["refuse_hidden", "refuse_lost"]


def refuse_lost(model: nn.Module) -> None:
    """Refuse a model in which an inserted layer does not act as it did, as far as can be seen.

    Raises:
        ValueError: If a module does not run the layer that was inserted at it, or PEFT adapts that very module: the
            adapter goes past the layer until it is merged, and through it then. The error names the module.
    """
    adapters: list[str] = []
    for name, module in model.named_modules():
        if _is_lost(module):
            raise _lost(name)
        if _is_adapter(module):
            adapters.append(f"{name}.")
        if positions_taken(module) and name.startswith(tuple(adapters)):
            raise ValueError(
                f"PEFT adapts {name}, at which a layer is inserted: the adapter goes past the layer until it is "
                "merged, and through it then; remove(model) the layer, and insert it at a module around"
            )


def refuse_hidden(model: nn.Module) -> None:
    """Refuse a model from which something that was inserted cannot be taken out.

    Raises:
        ValueError: If something wrapped or replaced the forward of a module since. The error names the module.
    """
    for name, module in model.named_modules():
        if _is_lost(module) and not positions_taken(module):
            raise _lost(name)
        if InsertedForward.of(module) is not InsertedForward.beneath(module):
            raise ValueError(
                f"something wrapped the forward of {name or 'the model'} since a layer was inserted, and would keep "
                "the layer; undo that first (what accelerate did, by accelerate.hooks.remove_hook_from_module(model, "
                "recurse=True))"
            )


def _is_lost(module: nn.Module) -> bool:
    return check_acts in module._forward_pre_hooks.values() and InsertedForward.beneath(module) is None


def _lost(name: str) -> ValueError:
    return ValueError(
        f"a layer was inserted at {name or 'the model'}, but something put another forward there, or another module, "
        "since; remove(model) the layer before that, or insert it after (a function that calls the forward that was "
        "there says so by functools.wraps)"
    )


def _is_adapter(module: nn.Module) -> bool:
    names = [kind.__name__ for kind in type(module).__mro__ if kind.__module__.startswith("peft.")]
    return "BaseTunerLayer" in names
