"""Running a module without a trace in its attributes."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

__all__ = ["attributes_kept"]


@contextmanager
def attributes_kept(module: nn.Module) -> Iterator[None]:
    """Put the attributes of a module and of those in it back, and what its dicts, lists and sets held."""
    saved = []
    for part in module.modules():
        held = {
            key: copy.copy(value) for key, value in vars(part).items() if isinstance(value, (dict, list, set))
        }
        saved.append((vars(part), dict(vars(part)), held))
        vars(part).update({k: value.clone() for k, value in vars(part).items() if isinstance(value, Tensor)})
    try:
        yield
    finally:
        for live, attributes, held in saved:
            live.clear()
            live.update(attributes)
            for key, before in held.items():
                live[key].clear()
                (live[key].extend if isinstance(before, list) else live[key].update)(before)
