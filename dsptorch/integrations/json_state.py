"""States as JSON, for trainers whose checkpoints are text."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["from_json", "to_json"]

_TENSOR = {"dtype", "shape", "values"}


def to_json(value: Any) -> Any:
    """Return nested values with each tensor as dtype, shape and values; JSON keeps them exactly.

    Example:
        >>> to_json({"raw": torch.ones(1)})
        {'raw': {'dtype': 'float32', 'shape': [1], 'values': [1.0]}}
    """
    if isinstance(value, Tensor):
        dtype = str(value.dtype).removeprefix("torch.")
        return {"dtype": dtype, "shape": list(value.shape), "values": value.detach().flatten().tolist()}
    if isinstance(value, Mapping):
        return {name: to_json(item) for name, item in value.items()}
    return [to_json(item) for item in value] if isinstance(value, (list, tuple)) else value


def from_json(value: Any) -> Any:
    """Return the argument of `to_json`, on the CPU, with lists for tuples.

    Example:
        >>> from_json(to_json({"raw": torch.ones(1)}))
        {'raw': tensor([1.])}
    """
    if isinstance(value, Mapping):
        if set(value) == _TENSOR:
            return torch.tensor(value["values"], dtype=getattr(torch, value["dtype"])).reshape(value["shape"])
        return {name: from_json(item) for name, item in value.items()}
    return [from_json(item) for item in value] if isinstance(value, list) else value
