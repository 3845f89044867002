"""Blocks of code that leave a model as it was."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

__all__ = ["modes_kept", "untouched"]


@contextmanager
def modes_kept(model: nn.Module) -> Iterator[None]:
    """Run a block on a model and give each of its modules its mode back."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def untouched(model: nn.Module, seed: int) -> Iterator[None]:
    """Run a block on a model and give it its gradients, buffers, modes and torch's random generators back.

    Inside, the parameters have no `.grad`, and the generators are seeded with `seed`, so that what is random there
    does not depend on what came before.
    """
    gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
    held = [(module, dict(module._buffers)) for module in model.modules()]
    contents = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    # manual_seed seeds them all.
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices=devices), modes_kept(model):
        torch.manual_seed(seed)
        try:
            for parameter, _ in gradients:
                parameter.grad = None
            yield
        finally:
            for parameter, gradient in gradients:
                parameter.grad = gradient
            for module, buffers in held:
                if any(module._buffers.get(name) is not buffer for name, buffer in buffers.items()):
                    module._buffers.update(buffers)  # it was assigned, not written to
            with torch.no_grad():
                for buffer, before in contents:
                    if not torch.equal(buffer, before):
                        buffer.copy_(before)
