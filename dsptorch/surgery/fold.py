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
    """Return a copy of a model for inference, whose dsptorch layers compute the same output with less work.

    Hyperparameters become constants. The filters of a layer are merged into one, and so are layers in series in a
    Chain or in parallel in a Parallel, if one pass with all their taps is cheaper than several. A bottleneck of
    learned width keeps the units whose weight is not lost in rounding. The outputs are equal within rounding. The
    parameters of the folded layers cannot be trained and have other names, so keep the original model for training.

    Args:
        model: Any module with dsptorch layers, inserted or built in, or a layer. It is not changed.

    Returns:
        The copy. Inserted layers keep their places, and `remove` removes them.

    Raises:
        ValueError: If the model has no dsptorch layer, or an inserted layer no longer acts.

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
    # Folded layers need not be copied first; a layer in two places stays one layer.
    memo = {id(layer): fold_layer(layer) for layer in layers.values()}
    return copy.deepcopy(model, memo)
