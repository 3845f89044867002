"""Inserted layers that something has hidden, or lost, since."""

from torch import nn

from dsptorch.surgery.insertion.inserted import InsertedForward, check_acts, positions_taken

__all__ = ["refuse_hidden", "refuse_lost"]


def refuse_lost(model: nn.Module) -> None:
    """Refuse a model in which an inserted layer does not act as it did, as far as can be seen.

    Raises:
        ValueError: If a module does not run the layer that was inserted at it, or PEFT adapts that very module: the
            adapter then goes past the layer, until it is merged. It names the module.
    """
    adapters: list[str] = []
    for name, module in model.named_modules():
        if any(base.__module__.startswith("peft.") and base.__name__ == "BaseTunerLayer" for base in type(module).__mro__):
            adapters.append(f"{name}.")
        if positions_taken(module) and name.startswith(tuple(adapters)):
            raise ValueError(
                f"PEFT adapts {name}, at which a layer is inserted: the adapter goes past the layer, and would act on "
                "what the layer makes once it is merged. remove(model) the layer, and insert it at a module around it"
            )
    _refuse_replaced(model)


def _refuse_replaced(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if check_acts in module._forward_pre_hooks.values() and InsertedForward.beneath(module) is None:
            raise ValueError(
                f"a layer was inserted at {name or 'the model'}, but something put another forward there, or another "
                "module, since. Undo that, and remove the layer first. (A function that calls the forward that was "
                "there says so by functools.wraps.)"
            )


def refuse_hidden(model: nn.Module) -> None:
    """Refuse a model from which not all that was inserted can be taken out, because something wrapped a forward.

    Raises:
        ValueError: It names the module.
    """
    _refuse_replaced(model)
    for name, module in model.named_modules():
        if InsertedForward.of(module) is not InsertedForward.beneath(module):
            raise ValueError(
                f"something wrapped the forward of {name or 'the model'} since a layer was inserted, and would keep "
                "the layer; undo that first (for accelerate: accelerate.hooks.remove_hook_from_module(model, "
                "recurse=True))"
            )
