"""Masks that the user names where the arguments of a model do not tell which one describes a layer's signal."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from torch import Tensor, nn

from dsptorch.layers.call_context import Call, Mask, current_call, enter_call
from dsptorch.surgery.insertion.mask_formats import read_attention_mask, read_by_name

__all__ = ["MaskArgument", "MaskRule", "read_rules"]

MaskArgument: TypeAlias = str | Callable[[Mapping[str, Any]], Tensor | None]
"""The name of an argument of a model, or a function of all its arguments by name."""


class MaskRule:
    """Where the padding mask of a layer's signal comes from.

    Args:
        model: The model that the layer is inserted into.
        mask: The name of one of its arguments; a function that is given all of them by name, and returns a mask of 1
            and 0, (batch, time), or None; or False: the layer takes no mask.

    Raises:
        TypeError, ValueError: If it is something else, or the model has no such argument.
    """

    def __init__(self, model: nn.Module, mask: Any) -> None:
        if mask is not False and not isinstance(mask, str) and not callable(mask):
            raise TypeError(
                "mask must be the name of an argument of the model, a function of its arguments, or False, got "
                f"{mask!r} of type {type(mask).__name__}"
            )
        parameters = inspect.signature(model.forward).parameters
        open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
        if isinstance(mask, str) and mask not in parameters and not open_ended:
            raise ValueError(
                f"mask must name an argument of {type(model).__name__}, got {mask!r}; its arguments are: "
                f"{', '.join(parameters)}"
            )
        self.mask = mask

    def read(self, arguments: Mapping[str, Any], owner: str) -> Mask | None:
        """The mask among the arguments of a call of the model."""
        if isinstance(self.mask, str):
            value, source = arguments.get(self.mask), f"{self.mask} of {owner}"
        else:
            value, source = self.mask(arguments), "what mask= returned"
        if value is None:
            return None
        if not isinstance(value, Tensor):
            raise TypeError(f"{source} must be a tensor (batch, time), got {type(value).__name__}")
        if isinstance(self.mask, str):
            first = next((v for v in arguments.values() if isinstance(v, Tensor) and v.dim() > 1), None)
            found = read_by_name(self.mask, value, owner, first if self.mask == "lengths" else None)
        else:
            found = read_attention_mask(value, source)
        if found is None:
            raise ValueError(f"{source} must be of shape (batch, time), got {tuple(value.shape)}")
        return found

    def of_call(self, call: Call, layer: str) -> Mask | None:
        """The mask that was read at the beginning of this call of the model."""
        if self.mask is False:
            return None
        for rule, mask in call.given:
            if rule is self:
                return mask
        raise ValueError(
            f"{layer} takes its mask from the model that it was inserted into, but only a part of that was "
            "called; call that model, or give the ids by dsptorch.segmented"
        )


def read_rules(rules: tuple[MaskRule, ...], arguments: Mapping[str, Any], owner: str) -> None:
    """Read the masks of the layers within a model, at the beginning of its call."""
    call = current_call()
    given = tuple((rule, rule.read(arguments, owner)) for rule in rules)
    enter_call(call.within(given=(*call.given, *given)))
