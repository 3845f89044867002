"""Locate the module that forgets: the inputs and outputs of all modules, on the whole signal and in chunks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from dsptorch.surgery.find import outermost
from dsptorch.testing._engine.run import named_tensors

_Call = tuple[str, int]
"""The name of a module, and which of its calls in a forward pass."""
Part = tuple[str, str]
"""Whether a tensor is of the input or the output, and its place in it."""


class Recorder:
    """Keeps what modules get and return, call after call of the model, in the order in which they end.

    Args:
        model: The model. Members of dsptorch layers are left out.
    """

    def __init__(self, model: nn.Module) -> None:
        inside = tuple(f"{name}." if name else "" for name in outermost(model))
        self.modules = {
            name: module for name, module in model.named_modules() if not (name and name.startswith(inside))
        }
        self.parts: dict[_Call, dict[Part, list[Tensor]]] = {}
        self._calls: dict[str, int] = {}

    def end_of_call(self) -> None:
        """Count the calls of each module from 0 again."""
        self._calls = {}

    def label(self, name: str) -> str:
        """A module in words."""
        kind = type(self.modules[name]).__name__
        return f"{name!r} ({kind})" if name else f"the model itself ({kind}), between its submodules"

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record for a block."""
        handles = [
            module.register_forward_hook(self._hook(name), with_kwargs=True)
            for name, module in self.modules.items()
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _hook(self, name: str) -> Callable[..., None]:
        def keep(_module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            count = self._calls.get(name, 0)
            self._calls[name] = count + 1
            held = self.parts.setdefault((name, count), {})
            for kind, value in (("input", (args, kwargs)), ("output", output)):
                for place, tensor in named_tensors(value):
                    held.setdefault((kind, place), []).append(tensor.detach().clone())

        return keep


def first_to_forget(whole: Recorder, chunks: Recorder, differ: Callable[[Tensor, Tensor], bool]) -> str:
    """Name the first module whose output in chunks differs from that of the whole, although its input does not.

    Only tensors that follow the time are compared: those whose parts, laid one after another in one dimension, have the
    shape of the whole.

    Args:
        whole: A recording of one call.
        chunks: A recording of the calls on chunks.
        differ: Whether two tensors, (batch, time, ...), differ beyond rounding.
    """
    for call, held in whole.parts.items():
        parts = chunks.parts.get(call, {})
        verdicts = {
            kind: [
                differ(*pair)
                for part, (tensor,) in held.items()
                if part[0] == kind and (pair := _laid_out(parts.get(part, []), tensor))
            ]
            for kind in ("input", "output")
        }
        if any(verdicts["output"]) and not any(verdicts["input"]):
            return whole.label(call[0])
    return whole.label("")


def _laid_out(parts: list[Tensor], whole: Tensor) -> tuple[Tensor, Tensor] | None:
    """The parts one after another in the dimension of time, and the whole, both with the time in dimension 1."""
    for d in range(whole.dim()):
        rest = whole.shape[:d] + whole.shape[d + 1 :]
        fits = all(p.dim() == whole.dim() and p.shape[:d] + p.shape[d + 1 :] == rest for p in parts)
        if fits and len(parts) > 1 and sum(p.shape[d] for p in parts) == whole.shape[d]:
            mine, its = (t.movedim(d, 0).unsqueeze(0) for t in (torch.cat(parts, d), whole))
            return mine, its
    return None
