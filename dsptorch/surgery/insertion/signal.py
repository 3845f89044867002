"""The signal among the arguments of a module, and among its outputs."""

import copy
import dataclasses
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

__all__ = ["SIGNALS", "Argument", "change_signal", "signal_argument", "with_signal"]

SIGNALS = ("hidden_states", "x", "input", "src", "tgt", "inputs_embeds", "input_features")
"""Names of arguments that are a signal, for modules whose first argument is something else."""
_NO_SIGNAL = re.compile(r"(^|_)(ids?|masks?|positions?|lengths?|labels?|caches?|past_key_values?)($|_)")
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Argument(NamedTuple):
    """An argument of a module.

    Attributes:
        slot: Its index among the positional arguments; None if it has none.
        name: Its name.
    """

    slot: int | None
    name: str


def signal_argument(name: str, module: nn.Module) -> Argument:
    """Find the signal of a module: the first argument, unless its name says that it is ids, a mask, lengths or a cache.

    Args:
        name: The module's name, for an error.
        module: The module.

    Raises:
        TypeError: If its forward takes no argument.
    """
    parameters = list(inspect.signature(module.forward).parameters.values())
    if not parameters:
        raise TypeError(f"{name} is a {type(module).__name__} whose forward takes no argument to act on")
    if parameters[0].kind in _VARIADIC:  # a wrapper that says nothing of its arguments
        return Argument(0, SIGNALS[0])
    chosen = parameters[0]
    if _NO_SIGNAL.search(chosen.name):
        chosen = next((p for p in parameters if p.name in SIGNALS), chosen)
    by_keyword = chosen.kind is inspect.Parameter.KEYWORD_ONLY
    return Argument(None if by_keyword else parameters.index(chosen), chosen.name)


def change_signal(
    signal: Argument, args: tuple[Any, ...], kwargs: dict[str, Any], change: Callable[[Any], Any]
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """Apply a function to the signal among the arguments of a call; return None if there is no signal."""
    index = signal.slot
    if index is not None and index < len(args) and args[index] is not None:
        return (*args[:index], change(args[index]), *args[index + 1 :]), kwargs
    for key in (signal.name, *SIGNALS):
        if kwargs.get(key) is not None:
            return args, {**kwargs, key: change(kwargs[key])}
    return None


def with_signal(output: Any, change: Callable[[Any], Any], name: str, owner: str) -> Any:
    """Return an output whose first tensor is changed, in a copy of the same type.

    Args:
        output: A tensor; or a tuple, list, named tuple, mapping or dataclass (as HuggingFace's ModelOutput) of which
            the first tensor is the signal.
        change: The function to apply to it.
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
            # Not `dataclasses.replace`, which calls the constructor; and the class may be frozen.
            record = copy.copy(output)
            object.__setattr__(record, key, change(getattr(output, key)))
            return record
    elif isinstance(output, (tuple, list)):
        index = _first_tensor(enumerate(output))
        if index is not None:
            parts = [*output[:index], change(output[index]), *output[index + 1 :]]
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
