"""Segment ids for the layers within a model, which hands them nothing but its hidden states."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

__all__ = ["present_segment_ids", "segmented"]


class _Present(threading.local):
    """What applies in this thread. Dynamo traces it, as it does not a ContextVar."""

    segment_ids: Tensor | None = None


_present = _Present()


@contextmanager
def segmented(segment_ids: Tensor | None) -> Iterator[None]:
    """Within this context every dsptorch layer of a model takes these segment ids, unless it is given others.

    That is how documents are packed into the rows of a model's input. The rest of the model must keep them apart
    by itself: attention by its mask, say. Models with inserted layers read the padding from their own attention
    mask; see `insert`.

    Args:
        segment_ids: Which signal of its row each sample belongs to, (batch, time), integers; -1 is padding. None:
            each row is one signal. Where they are longer than a layer's input, the last of them count, as for an
            attention mask beside a cache.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from dsptorch import FIR, segmented
        >>> model = nn.Sequential(nn.Linear(4, 4), FIR(4, 3, init="lowpass"))
        >>> first, second = torch.randn(1, 5, 4), torch.randn(1, 7, 4)
        >>> with segmented(torch.tensor([[0] * 5 + [1] * 7])):
        ...     y = model(torch.cat([first, second], 1))
        >>> torch.allclose(y, torch.cat([model(first), model(second)], 1), atol=1e-6)
        True
    """
    before = _present.segment_ids
    _present.segment_ids = segment_ids
    try:
        yield
    finally:
        _present.segment_ids = before


def present_segment_ids(time: int) -> Tensor | None:
    """The ids of the context for an input of this length."""
    ids = _present.segment_ids
    return ids if ids is None or ids.shape[1] <= time else ids[:, -time:] if time else ids[:, :0]
