"""The model: an adaptive linear prediction, and a network that says how the next sample spreads around it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dsptorch import Chain, Layer, Residual
from dsptorch.functional import Timeline

from .codes import LEVELS, decode
from .lpc import Delays, Predictor

COMPONENTS = 3
FEATURES = 4
FRAME = 16  # samples


class PerSample(Layer):
    """A module that treats every sample by itself, of another width out than in.

    Args:
        d_model: The width of its input.
        d_out: The width of its output.
        module: The module.
    """

    lookahead = 0
    period = receptive_field = 1

    def __init__(self, d_model: int, d_out: int, module: nn.Module) -> None:
        super().__init__(d_model, d_out)
        self.module = module

    def process(self, x: Tensor, memory: Tensor | None, timeline: Timeline) -> tuple[Tensor, tuple[()]]:
        """Apply the module."""
        return self.module(x), ()


def linear(d_model: int, d_out: int) -> PerSample:
    """A change of the width."""
    return PerSample(d_model, d_out, nn.Linear(d_model, d_out))


def block(context: Layer) -> Residual:
    """A gated network of what a layer makes of the past, added to its input: d_model -> d_model."""
    width = context.d_model
    out = nn.Linear(width, width)
    with torch.no_grad():
        out.weight.mul_(0.3)
    gated = nn.Sequential(nn.Linear(context.d_out, 2 * width), nn.GLU(-1), out)
    return Residual(Chain(context, PerSample(context.d_out, width, gated)))


class VoiceModel(nn.Module):
    """From codes to the mixture of the next code.

        p, e, s = the prediction of the next sample, the last error, and the mean absolute error: see `Predictor`
        w, m, d = net(e / s, x / s, x, log s)         compressed
        mixture = (w, p + s m, log s + d)

    Args:
        width: Of the network.
        layers: Between its first and its last layer, each of that width.

    Shape:
        (batch, time), integers in [0, 256) -> (batch, time, 3 * COMPONENTS), see `mixture`.
    """

    values: Tensor

    def __init__(self, width: int, *layers: Layer) -> None:
        super().__init__()
        self.predictor = Predictor()
        last = nn.Linear(2 * width, 3 * COMPONENTS)
        with torch.no_grad():
            last.weight.mul_(0.1)
            last.bias.zero_()
            last.bias[2 * COMPONENTS :] = torch.linspace(-1.2, 0.2, COMPONENTS)
        head = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), last)
        self.net = Chain(
            Delays(FEATURES, tuple(range(FRAME))),
            linear(FEATURES * FRAME, width),
            *layers,
            PerSample(width, 3 * COMPONENTS, head),
        )
        self.register_buffer("values", decode(torch.arange(LEVELS)), persistent=False)

    def forward(self, codes: Tensor) -> Tensor:
        """Return the mixtures of the codes that follow each."""
        x = self.values[codes].unsqueeze(-1)
        prediction, error, spread = self.predictor(x)
        level = spread.log()
        features = torch.cat(
            [
                torch.asinh(error / spread),
                0.3 * torch.asinh(x / spread),
                0.3 * torch.asinh(100 * x),
                0.4 * level + 1.8,
            ],
            -1,
        )
        weights, means, widths = self.net(features.float()).chunk(3, -1)
        spread, level = spread.float(), level.float()
        return torch.cat([weights, prediction.float() + spread * means, level + widths], -1)
