"""Blocks of code that leave no trace in a model, nor in the random generators."""

import copy
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["preserved", "random_state_kept"]

Restore = Callable[[], None]


@contextmanager
def preserved(
    model: object,
    *,
    modes: bool = True,
    buffers: bool = True,
    floats: bool = False,
    attributes: bool = False,
    gradients: bool = False,
    seed: int | None = None,
) -> Iterator[None]:
    """Run a block, and restore afterwards what it changed in a model, also if it raises.

    Args:
        model: A module. Anything else, a function say, has nothing to restore.
        modes: Restore the training mode of each module.
        buffers: Restore the buffers: the same tensors with the same contents.
        floats: Restore attributes that are floats, such as dropout probabilities.
        attributes: Restore every attribute, and what the dicts, lists and sets among them held. Inside, tensors
            that are plain attributes are copies.
        gradients: Restore the `.grad` of the parameters. Inside, it is None.
        seed: If given, seed torch's random generators inside, and restore them: random numbers inside do not depend
            on what was drawn before.

    Example:
        >>> norm = nn.BatchNorm1d(2)
        >>> with preserved(norm):
        ...     y = norm.eval().train()(torch.randn(8, 2) + 5)
        >>> norm.running_mean
        tensor([0., 0.])
    """
    parts = list(model.modules()) if isinstance(model, nn.Module) else []
    keepers = (
        (buffers, _buffers),
        (gradients, _gradients),
        (modes, _modes),
        (floats, _floats),
        (attributes, _attributes),  # restored first: these dicts hold the buffers
    )
    with ExitStack() as stack:
        if seed is not None:
            stack.enter_context(random_state_kept())
            torch.manual_seed(seed)
        for wanted, keeper in keepers:
            if wanted:
                stack.callback(keeper(parts))
        yield


@contextmanager
def random_state_kept(*, everywhere: bool = False) -> Iterator[None]:
    """Run a block, and restore torch's random generators: those of the CPU, and of the GPUs if they are in use.

    Args:
        everywhere: Restore the generators of numpy and Python, too.

    Example:
        >>> with random_state_kept():
        ...     first = torch.rand(1)
        >>> torch.equal(torch.rand(1), first)
        True
    """
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002, the models that we run use it
    kind, devices = _devices_in_use()
    try:
        with torch.random.fork_rng(devices, device_type=kind):
            yield
    finally:
        if everywhere:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002


def _devices_in_use() -> tuple[str, list[int]]:
    """The kind of accelerator, and the indices of its devices; none before it is initialized."""
    accelerator = torch.accelerator.current_accelerator()
    kind = "cuda" if accelerator is None else accelerator.type
    module = torch.get_device_module(kind)
    in_use = hasattr(module, "is_initialized") and module.is_initialized()
    return kind, list(range(module.device_count())) if in_use else []


def _modes(parts: Sequence[nn.Module]) -> Restore:
    modes = [(part, part.training) for part in parts]

    def restore() -> None:
        for part, training in modes:
            part.training = training

    return restore


def _floats(parts: Sequence[nn.Module]) -> Restore:
    floats = [(part, {k: v for k, v in vars(part).items() if isinstance(v, float)}) for part in parts]

    def restore() -> None:
        for part, values in floats:
            vars(part).update(values)

    return restore


def _buffers(parts: Sequence[nn.Module]) -> Restore:
    held = [(part._buffers, dict(part._buffers)) for part in parts]
    contents = {
        buffer: buffer.detach().clone()
        for _, buffers in held
        for buffer in buffers.values()
        if buffer is not None
    }

    def restore() -> None:
        for present, buffers in held:
            same = present.keys() == buffers.keys() and all(present[name] is b for name, b in buffers.items())
            if not same:  # a buffer was assigned, not written to
                present.clear()
                present.update(buffers)
        with torch.no_grad():
            for buffer, before in contents.items():
                if not torch.equal(buffer, before):
                    buffer.copy_(before)

    return restore


def _gradients(parts: Sequence[nn.Module]) -> Restore:
    parameters = {p: p.grad for part in parts for p in part.parameters(recurse=False)}
    for parameter in parameters:
        parameter.grad = None

    def restore() -> None:
        for parameter, gradient in parameters.items():
            parameter.grad = gradient

    return restore


def _attributes(parts: Sequence[nn.Module]) -> Restore:
    saved: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = []
    for part in parts:
        live = vars(part)
        contents = {k: copy.copy(v) for k, v in live.items() if isinstance(v, (dict, list, set))}
        saved.append((live, dict(live), contents))
        live.update({k: v.clone() for k, v in live.items() if isinstance(v, Tensor)})

    def restore() -> None:
        for live, attributes, contents in saved:
            live.clear()
            live.update(attributes)
            for key, before in contents.items():
                live[key].clear()
                (live[key].extend if isinstance(before, list) else live[key].update)(before)

    return restore
