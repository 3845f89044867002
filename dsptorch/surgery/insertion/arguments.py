"""Which argument of a module is its signal."""

import inspect
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from torch import nn

__all__ = ["SIGNALS", "Argument", "change_signal", "signal_argument"]

SIGNALS = ("hidden_states", "x", "input", "src", "tgt", "inputs_embeds", "input_features")
"""What modules call their signal, where it is not their first argument."""
_NO_SIGNAL = re.compile(r"(^|_)(ids?|masks?|positions?|lengths?|labels?|caches?|past_key_values?)($|_)")
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Argument(NamedTuple):
    """An argument of a module.

    Attributes:
        place: Its place among the positional arguments; None if it has none.
        name: Its name.
    """

    place: int | None
    name: str


def signal_argument(name: str, module: nn.Module) -> Argument:
    """Find the signal of a module: its first argument, unless that is by its name ids, a mask, lengths or a cache.

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
    """Change the signal among the arguments of a call, and copy the others; None if it is not there."""
    place = signal.place
    if place is not None and place < len(args) and args[place] is not None:
        return (*args[:place], change(args[place]), *args[place + 1 :]), kwargs
    for key in (signal.name, *SIGNALS):
        if kwargs.get(key) is not None:
            return args, {**kwargs, key: change(kwargs[key])}
    return None
