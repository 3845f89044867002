"""Models as the controller meets them: under wrappers, and to be left as they were."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

__all__ = [
    "agreed",
    "is_compiled",
    "is_distributed",
    "refuse_sharded",
    "untouched",
    "unwrapped",
    "without_ddp",
]


def is_compiled(model: nn.Module) -> bool:
    """Whether `torch.compile` made this module."""
    return isinstance(getattr(model, "_orig_mod", None), nn.Module)


def is_distributed(model: nn.Module) -> bool:
    """Whether DistributedDataParallel wraps this module, inside or outside `torch.compile`."""
    if is_compiled(model):
        return is_distributed(model.get_submodule("_orig_mod"))
    return isinstance(model, DistributedDataParallel)


def unwrapped(model: nn.Module) -> nn.Module:
    """The user's own module, from under `torch.compile` and DistributedDataParallel."""
    while True:
        if is_compiled(model):
            model = model.get_submodule("_orig_mod")
        elif isinstance(model, DistributedDataParallel):
            model = model.module
        else:
            return model


def without_ddp(model: nn.Module) -> nn.Module:
    """The module to compute losses with: compiled where it is, but without DDP, whose hooks want a backward pass."""
    if isinstance(model, DistributedDataParallel):
        model = model.module
    return unwrapped(model) if is_distributed(model) else model


def agreed(tensors: Sequence[Tensor], group: Any = None) -> list[Tensor]:
    """Return the means of tensors over all processes, which are then the same on each, bit for bit."""
    dtype = reduce(torch.promote_types, (t.dtype for t in tensors))
    flat = torch.cat([t.detach().flatten().to(dtype) for t in tensors])
    torch.distributed.all_reduce(flat, group=group)
    flat /= torch.distributed.get_world_size(group)
    parts = flat.split([t.numel() for t in tensors])
    return [part.reshape(t.shape).to(t.dtype) for part, t in zip(parts, tensors, strict=True)]


def refuse_sharded(model: nn.Module) -> None:
    """Refuse parameters that are spread over processes."""
    for name, parameter in model.named_parameters():
        if hasattr(parameter, "device_mesh") or hasattr(parameter, "_is_sharded") or "_flat_param" in name:
            raise ValueError(
                f"expected parameters that are whole on every process, got {name!r}, sharded by FSDP: hyperparameters "
                "of one element cannot be read there; use DistributedDataParallel, or train the hyperparameters as "
                "ordinary parameters"
            )


@contextmanager
def untouched(model: nn.Module, seed: int) -> Iterator[None]:
    """Run a block on a model and give it its buffers, its modes and the random generators back.

    Inside, torch's generators are seeded with `seed`, so that what is random there does not depend on what came
    before.
    """
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    modes = [(module, module.training) for module in model.modules()]
    devices = {p.device for p in model.parameters() if p.device.type == "cuda"}
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        try:
            yield
        finally:
            with torch.no_grad():
                for buffer, before in buffers:
                    if not torch.equal(buffer, before):
                        buffer.copy_(before)
            for module, training in modes:
                module.training = training
