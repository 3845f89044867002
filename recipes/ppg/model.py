"""The plain model: a learned frame of the latest samples, then residual MLPs that treat every sample by itself."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsptorch import FIR


class MLP(nn.Module):
    """One hidden layer, applied to every sample: (batch, time, d_model) -> the same."""

    def __init__(self, d_model: int, hidden: int) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(d_model, hidden), nn.Linear(hidden, d_model)

    def forward(self, x: Tensor) -> Tensor:
        """Apply it."""
        y: Tensor = self.outer(F.gelu(self.inner(x)))
        return y


class Forecaster(nn.Module):
    """Forecast a signal: at each sample, from the samples so far, the one `horizon` later.

        h = frame(x)                 h[t, c] = b[c] + sum_k  w[k, c] * x[t - k],   0 <= k < frame
        h = h + mlp_i(h)             for each block i
        y = head(h)

    The frame is what `nn.Conv1d(1, d_model, frame)` computes, written as an FIR layer so that it streams. Nothing
    normalises h: the amplitude of a pulse wave matters to its forecast, and where the MLPs are silent the model is a
    linear autoregression. What is inserted before the MLPs is all that looks further back than the frame.

    Args:
        d_model: The width.
        blocks: The number of MLPs.
        hidden: The width of their hidden layers.
        frame: How many samples the frame sees.

    Shape:
        (batch, time, 1) -> (batch, time, 1).
    """

    def __init__(self, d_model: int, blocks: int, hidden: int, frame: int) -> None:
        super().__init__()
        self.d_model = d_model
        bound = frame**-0.5  # as nn.Conv1d draws its taps
        taps = torch.empty(frame, d_model).uniform_(-bound, bound)
        self.frame, self.bias = FIR(d_model, frame, init=taps), nn.Parameter(torch.zeros(d_model))
        self.mlps = nn.ModuleList(MLP(d_model, hidden) for _ in range(blocks))
        self.head = nn.Linear(d_model, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Forecast from every sample."""
        h = self.frame(x.expand(-1, -1, self.d_model)) + self.bias
        for mlp in self.mlps:
            h = h + mlp(h)
        y: Tensor = self.head(h)
        return y
