"""Floating-point operations of a training step, by torch's counter."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ..arms import build
from ..config import TrainConfig
from ..evaluate import next_byte_loss

aten = torch.ops.aten


def _one_an_element(*_: Any, out_shape: tuple[int, ...], **__: Any) -> int:
    return prod(out_shape)


def _two_an_element(*_: Any, out_shape: tuple[int, ...], **__: Any) -> int:
    return 2 * prod(out_shape)


# torch's counter knows matrix products, convolutions and attention. Filters are sums of products of elements, which
# would be free without these.
ELEMENTWISE: dict[Any, Callable[..., int]] = {
    **dict.fromkeys(
        (aten.add, aten.add_, aten.sub, aten.sub_, aten.mul, aten.mul_, aten.div, aten.div_), _one_an_element
    ),
    **dict.fromkeys((aten.addcmul, aten.addcmul_, aten.lerp, aten.lerp_), _two_an_element),
}


def flops_per_step(config: TrainConfig) -> int:
    """Return the operations of one update: forward and backward of the batch; the optimizer's are left out.

    Counted are matrix products, convolutions, attention, and sums and products of elements. Everything is counted on
    one row of the batch, on the CPU, where attention is that of its definition: all T^2 products, masked ones too.
    """
    model = build(config.model, config.arm)
    ids = torch.zeros(1, config.model.context, dtype=torch.int64)  # (1, T)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False, custom_mapping=ELEMENTWISE) as counter:
        next_byte_loss(model, ids, ids).backward()
    return int(counter.get_total_flops()) * config.batch_size
