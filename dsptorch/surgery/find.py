"""Find the submodules and the dsptorch layers of a model."""

import re
from collections.abc import Callable
from typing import TypeAlias

from torch import nn

from dsptorch.layers import Layer

Where: TypeAlias = str | type[nn.Module] | Callable[[str, nn.Module], bool]
"""A glob on names (`*` does not cross a dot, `**` does), a type, or a predicate of name and module."""
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
"""Modules that run every child themselves, or run none."""


def find(model: nn.Module, where: Where) -> dict[str, nn.Module]:
    """Find the submodules of a model by name, by type, or by a predicate.

    Args:
        model: Any module.
        where: A glob on the dotted names: `*` matches any part of a name without a dot, `**` any part, `?` one
            character, `[ab]` one of these, `[!ab]` any other (except a dot); or a type (including subclasses); or a
            predicate of the name and the module.

    Returns:
        The matches by name, in the model's order; never the model itself.

    Raises:
        TypeError: If `where` is not a glob, a type, or a predicate.
        ValueError: If nothing matches; the error lists some existing names.

    Example:
        >>> model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, batch_first=True), 2)
        >>> list(find(model, "layers.*"))
        ['layers.0', 'layers.1']
        >>> list(find(model, nn.LayerNorm))[:2]
        ['layers.0.norm1', 'layers.0.norm2']
    """
    matches = _predicate(where)
    named = [(name, module) for name, module in model.named_modules(remove_duplicate=False) if name]
    found = {name: module for name, module in named if matches(name, module)}
    if not found:
        names = ", ".join(name for name, _ in named[:12]) + (", ..." if len(named) > 12 else "")
        raise ValueError(
            f"nothing in {type(model).__name__} matches {where!r}; its submodules are: {names or 'none'}"
        )
    return found


def _predicate(where: Where) -> Callable[[str, nn.Module], bool]:
    if isinstance(where, str):
        pattern = re.compile(_glob_to_regex(where))
        return lambda name, module: pattern.fullmatch(name) is not None
    if isinstance(where, type):
        kind = where
        return lambda name, module: isinstance(module, kind)
    if callable(where):
        return where
    raise TypeError(
        "where must be a glob on names, a type, or a predicate of name and module, "
        f"got {where!r} of type {type(where).__name__}"
    )


def _glob_to_regex(glob: str) -> str:
    """Translate a glob in which `*` and `?` stay within a name and `**` crosses dots."""
    parts = re.split(r"(\*\*|\*|\?|\[[^\]]+\])", glob)
    known = {"**": ".*", "*": "[^.]*", "?": "[^.]"}
    return "".join(
        known.get(p) or (_one_of(p) if p.startswith("[") and p.endswith("]") else re.escape(p)) for p in parts
    )


def _one_of(choice: str) -> str:
    """Translate `[ab]`, `[a-c]` or, as in fnmatch, `[!ab]`: one character, for `!` no dot."""
    inside = choice[1:-1].replace("\\", r"\\").replace("^", r"\^")
    return f"[^.{inside[1:]}]" if inside.startswith("!") and len(inside) > 1 else f"[{inside}]"


def outermost(model: nn.Module) -> dict[str, Layer]:
    """The layers that are not part of another layer, by name; a layer used in two places has both names."""
    found: dict[str, Layer] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        inside = any(name.startswith(f"{outer}.") or outer == "" for outer in found)
        if isinstance(module, Layer) and not inside:
            found[name] = module
    return found
