"""Prepare whole models for inference."""

import copy
from typing import TypeVar

from torch import nn

from dsptorch.layers import Layer, fold_layer
from dsptorch.surgery.find import outermost
from dsptorch.surgery.lost import refuse_lost

__all__ = ["fold"]

Model = TypeVar("Model", bound=nn.Module)


def fold(model: Model) -> Model:
    """Return a copy of a model for inference, whose dsptorch layers give the same output with less work.

    Hyperparameters become numbers. The filters of a layer become one, and so do layers that follow each other in a
    Chain or stand side by side in a Parallel, where one pass with all their taps is cheaper than several. A bottleneck
    of learned width keeps the units whose weight is not lost in rounding. The outputs are equal to rounding; the
    parameters of the layers do not learn any more, and their names change, so keep the model for training.

    Args:
        model: Any module with dsptorch layers, inserted or built in, or such a layer. It stays as it is.

    Returns:
        The copy. Inserted layers stand where they stood, and `remove` takes them out.

    Raises:
        ValueError: If there is no dsptorch layer in it, or a layer was inserted that does not act any more.

    Example:
        >>> import torch
        >>> from dsptorch import FIR, Chain, Multirate
        >>> model = nn.Sequential(Chain(FIR(8, 3, init="lowpass"), Multirate(8)), nn.Linear(8, 8))
        >>> folded, x = fold(model), torch.randn(2, 10, 8)
        >>> folded[0]
        FixedFilter(8, period=2, taps=13, lookahead=0)
        >>> torch.allclose(folded(x), model(x), atol=1e-6)
        True
    """
    if isinstance(model, Layer):
        return fold_layer(model)  # type: ignore[return-value]
    refuse_lost(model)
    layers = outermost(model)
    if not layers:
        raise ValueError(f"{type(model).__name__} has no dsptorch layer to fold")
    # What is folded need not be copied first; a layer in two places stays one.
    memo = {id(layer): fold_layer(layer) for layer in layers.values()}
    return copy.deepcopy(model, memo)
