"""Losses in nats a byte, and the validation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
import torch.nn.functional as F
from lightning.fabric import Fabric
from torch import Tensor, nn

from .batches import IGNORED, sweep


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Run a block without gradients and in eval mode, and give the model its mode back."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)


def next_byte_loss(model: nn.Module, ids: Tensor, targets: Tensor, *, reduction: str = "mean") -> Tensor:
    """Return the cross-entropy of the next byte in nats: ids and targets (B, T) -> a scalar."""
    logits = model(ids)  # (B, T, V)
    return F.cross_entropy(
        logits.float().flatten(0, 1),  # (B T, V)
        targets.flatten(),  # (B T,)
        ignore_index=IGNORED,
        reduction=reduction,
    )


def evaluate(fabric: Fabric, model: nn.Module, data: Tensor, *, context: int, batch_size: int) -> float:
    """Return the mean loss over all of `data`, which the ranks share out among them.

    The windows lie side by side and share no past: their first bytes are predicted from little.
    """
    total = 0.0
    batches = sweep(
        data, context=context, batch_size=batch_size, rank=fabric.global_rank, ranks=fabric.world_size
    )
    with evaluating(model):
        for ids, targets in batches:
            loss = next_byte_loss(model, ids.to(fabric.device), targets.to(fabric.device), reduction="sum")
            total += loss.item()
    share = torch.tensor(total / (len(data) - 1), device=fabric.device)
    return all_reduced(fabric, share, "sum")


def all_reduced(fabric: Fabric, value: Tensor, how: str) -> float:
    """Return the "sum" or "mean" of a number over all ranks."""
    return cast(Tensor, fabric.all_reduce(value, reduce_op=how)).item()
