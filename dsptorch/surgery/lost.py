"""Detect inserted layers that were lost because a forward or a module was replaced."""

from typing import Any

from torch import nn

from dsptorch.surgery.interpose import Interposer, is_own_forward

__all__ = ["check_acts", "has_insertion", "is_lost", "lost", "refuse_lost"]


def check_acts(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None) -> None:
    """Raise if a module is called whose inserted layers cannot act. This hook is set at each insertion.

    The hook has a second purpose: PyTorch's fast path for transformers bypasses `forward` unless it finds a hook.
    """
    kind = type(module).__name__
    if is_own_forward(module):
        raise RuntimeError(
            f"a layer was inserted at this {kind}, and is lost: something gave its forward back, or put another module "
            "in its place (quantization does). Remove the layer before that, or insert it after"
        )
    if any(forward.module is not module for forward in Interposer.around(module)):
        raise RuntimeError(
            f"a layer is inserted at this {kind}, which is a copy whose forward is that of the original, so the "
            "original's parameters would act: a replica of nn.DataParallel (use DistributedDataParallel), or a copy of "
            "a model whose forward a function wraps (copy the model first)"
        )
    if kwargs and "carry" in kwargs:
        raise ValueError(
            f"a layer is inserted at this {kind}, which runs in chunks, or within another layer, and would leave it "
            "behind; insert at a module around it, or build a Chain of both"
        )


def has_insertion(module: nn.Module) -> bool:
    """Whether a layer inserted at a module acts, as far as can be determined."""
    return any(forward.inserts_layers for forward in Interposer.around(module))


def is_lost(module: nn.Module) -> bool:
    """Whether a module has lost a layer that was inserted at it."""
    return check_acts in module._forward_pre_hooks.values() and not has_insertion(module)


def lost(name: str) -> ValueError:
    """The error for a module that has lost a layer."""
    return ValueError(
        f"a layer was inserted at {name or 'the model'}, but something put another forward there, or another module, "
        "since; remove(model) the layer before that, or insert it after (a function that calls the forward that was "
        "there says so by functools.wraps)"
    )


def refuse_lost(model: nn.Module) -> None:
    """Refuse a model in which an inserted layer no longer acts, as far as can be determined.

    Raises:
        ValueError: If a module does not run the layer inserted at it, or PEFT adapts this module: the adapter
            bypasses the layer until it is merged, and passes through it afterwards. The error names the module.
    """
    adapters: list[str] = []
    for name, module in model.named_modules():
        if is_lost(module):
            raise lost(name)
        if _is_adapter(module):
            adapters.append(f"{name}.")
        if has_insertion(module) and name.startswith(tuple(adapters)):
            raise ValueError(
                f"PEFT adapts {name}, at which a layer is inserted: the adapter goes past the layer until it is "
                "merged, and through it then; remove(model) the layer, and insert it at a module around"
            )


def _is_adapter(module: nn.Module) -> bool:
    names = [kind.__name__ for kind in type(module).__mro__ if kind.__module__.startswith("peft.")]
    return "BaseTunerLayer" in names
