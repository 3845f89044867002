"""The signal among the outputs of a module."""

import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

__all__ = ["with_signal"]


def with_signal(output: Any, change: Callable[[Any], Any], name: str, owner: str) -> Any:
    """Return an output whose first tensor is changed, in a copy of the same type.

    Args:
        output: A tensor; or a tuple, list, named tuple, mapping or dataclass (as HuggingFace's ModelOutput) of which
            the first tensor is the signal.
        change: What happens to it.
        name: The inserted layer, for an error.
        owner: The type of the module, for an error.

    Raises:
        TypeError: If there is no tensor in it.
    """
    if isinstance(output, (Tensor, PackedSequence)):  # the latter is a tuple, which `change` refuses
        return change(output)
    if isinstance(output, Mapping):
        key = _first_tensor(output.items())
        if key is not None:
            if type(output) is dict:
                return {**output, key: change(output[key])}
            mapping: Any = copy.copy(output)
            mapping[key] = change(output[key])
            return mapping
    elif dataclasses.is_dataclass(output):
        key = _first_tensor((field.name, getattr(output, field.name)) for field in dataclasses.fields(output))
        if key is not None:
            # Not `dataclasses.replace`, which would construct it anew; and it may be frozen.
            record = copy.copy(output)
            object.__setattr__(record, key, change(getattr(output, key)))
            return record
    elif isinstance(output, (tuple, list)):
        place = _first_tensor(enumerate(output))
        if place is not None:
            parts = [*output[:place], change(output[place]), *output[place + 1 :]]
            return type(output)._make(parts) if hasattr(output, "_make") else type(output)(parts)
    raise TypeError(
        f"{name} was inserted after {owner}, whose output must be a tensor, or hold one (tuple, list, mapping, "
        f"dataclass), got {type(output).__name__}; insert it before the next submodule instead"
    )


def _first_tensor(items: Any) -> Any:
    for key, value in items:
        if isinstance(value, Tensor):
            return key
    return None
