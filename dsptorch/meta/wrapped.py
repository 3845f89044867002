"""Models under wrappers (torch.compile, DistributedDataParallel), on one process or several."""

from collections.abc import Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

__all__ = ["Wrapped", "seed_of"]


class Wrapped:
    """A model with and without its wrappers.

    Args:
        model: Any module, also under `torch.compile` or DistributedDataParallel.
        group: The processes to average over, if the model is not under DistributedDataParallel.

    Attributes:
        module: The user's own module.
        callable: The model to compute losses with: compiled if it was, but without DDP, whose hooks need a backward
            pass.

    Raises:
        TypeError, ValueError: If it is not a module, or has sharded parameters.
    """

    def __init__(self, model: nn.Module, group: Any = None) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
        if group is not None and not isinstance(group, torch.distributed.ProcessGroup):
            raise TypeError(
                f"process_group must be of torch.distributed, got {type(group).__name__}; "
                "give torch.distributed.group.WORLD for all processes"
            )
        _refuse_sharded(model)
        self.module, ddp = _unwrapped(model)
        self.callable: nn.Module
        if isinstance(model, DistributedDataParallel):
            self.callable = model.module
        else:
            self.callable = self.module if ddp else model
        self.second_order = ddp is None and not any(map(_is_compiled, model.modules()))
        """Whether it can be differentiated twice."""
        self._alone = group is None and ddp is None
        self._group = ddp.process_group if group is None and ddp is not None else group

    @property
    def seed(self) -> int:
        """A number to add to a seed, so that each process draws different numbers."""
        return 0 if self._alone else seed_of(torch.distributed.get_rank(self._group))

    def all_reduce_mean(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return the means of tensors over all processes, bit-identical on each process."""
        if self._alone:
            return list(tensors)
        dtype = reduce(torch.promote_types, (t.dtype for t in tensors))
        device = next((t.device for t in tensors if t.device.type != "cpu"), torch.device("cpu"))
        flat = torch.cat([t.detach().flatten().to(device, dtype) for t in tensors])
        torch.distributed.all_reduce(flat, group=self._group)
        flat /= torch.distributed.get_world_size(self._group)
        parts = flat.split([t.numel() for t in tensors])
        return [part.reshape(t.shape).to(t) for part, t in zip(parts, tensors, strict=True)]


def seed_of(rank: int) -> int:
    """A number to add to a seed on a process of this rank, so that processes draw different numbers."""
    return 1_000_003 * rank


def _unwrapped(model: nn.Module) -> tuple[nn.Module, DistributedDataParallel | None]:
    """The user's module without `torch.compile` and DistributedDataParallel, and the DistributedDataParallel."""
    ddp = None
    while True:
        if isinstance(getattr(model, "_orig_mod", None), nn.Module):
            model = model.get_submodule("_orig_mod")
        elif isinstance(model, DistributedDataParallel):
            ddp, model = model, model.module
        else:
            return model, ddp


def _is_compiled(module: nn.Module) -> bool:
    """Whether `torch.compile(module)` made it, or `module.compile()` was called."""
    made = isinstance(getattr(module, "_orig_mod", None), nn.Module)
    return made or getattr(module, "_compiled_call_impl", None) is not None


def _refuse_sharded(model: nn.Module) -> None:
    """Refuse parameters that are spread over processes."""
    sharded = [
        name
        for name, p in model.named_parameters()
        if hasattr(p, "device_mesh") or hasattr(p, "_is_sharded") or "_flat_param" in name
    ]
    wrappers = [
        name or "the model" for name, m in model.named_modules() if hasattr(m, "_fsdp_wrapped_module")
    ]
    if sharded or wrappers:
        raise ValueError(
            f"expected parameters that are whole on every process, got {[*sharded, *wrappers][0]!r}, sharded by FSDP: "
            "hyperparameters of one element cannot be read there; use DistributedDataParallel, or train the "
            "hyperparameters as ordinary parameters"
        )
