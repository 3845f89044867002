"""Linear prediction that adapts to the past: what every arm begins with, and an anchor by itself.

Speech is nearly a linear recurrence whose coefficients move slowly. They are found from what has been heard, as a
decoder can find them, too: nothing is sent beside the codes.

    r_ij[t] = average over the past of x[t - i] x[t - j]       an EMA
    sum_j r_ij a_j = r_i0,  i = 1 ... ORDER                    at every HOP-th sample, and held until the next
    p[t] = sum_j a_j x[t + 1 - j]                              the prediction of x[t + 1]

That is recursive least squares with a forgetting factor, solved from time to time.

References:
    S. Haykin, Adaptive Filter Theory, 4th ed., 2002, ch. 9 (recursive least squares).
    J.-H. Chen et al., A low-delay CELP coder for the CCITT 16 kb/s speech coding standard, IEEE J. Sel. Areas Commun.
    10, 1992, p. 830 (backward adaptation).
"""

from __future__ import annotations

from fractions import Fraction

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsptorch import EMA, Chain, Delay, Layer, Upsample
from dsptorch.functional import Timeline
from dsptorch.functional.filtering import latest, with_history
from dsptorch.layers.pointwise import PointwiseLayer

ORDER = 16
HOP = 32
HALF_LIFE = 48.0  # samples of the average: 6 ms
WHITE = 1e-4  # white noise that is added, a share of the energy
LEAST = 1e-7  # and at least, energy of silence
SPREAD = 10.0  # samples of half-life of the mean absolute error
FINEST = 1e-4  # the least of that: about half a code at silence


class Delays(Layer):
    """Put delayed copies of the channels side by side.

        y[t] = (x[t - lags[0]], ..., x[t - lags[-1]])

    Args:
        d_model: The width.
        lags: In samples, ascending.

    Shape:
        (batch, time, d_model) -> (batch, time, len(lags) * d_model).
    """

    lookahead = 0
    period = 1

    def __init__(self, d_model: int, lags: tuple[int, ...]) -> None:
        super().__init__(d_model, d_model * len(lags))
        self.lags = lags

    @property
    def receptive_field(self) -> int:
        """The longest lag, and the present."""
        return self.lags[-1] + 1

    def process(self, x: Tensor, memory: Tensor | None, timeline: Timeline) -> tuple[Tensor, Tensor]:
        """Delay the next chunk."""
        kept, time = self.lags[-1], x.shape[1]
        seen = with_history(x, memory, kept)
        copies = [seen[:, kept - lag : kept - lag + time] for lag in self.lags]
        return torch.cat(copies, -1), latest(seen, kept, timeline.segments)


class Products(PointwiseLayer):
    """The products of the first channel with all: (batch, time, ORDER + 1) -> the same."""

    def apply_pointwise(self, x: Tensor) -> Tensor:
        """Multiply."""
        return x[..., :1] * x


class Solve(Layer):
    """The coefficients of the prediction, and a 0, at every HOP-th sample: (batch, time, ORDER + 1) -> the same width.

    The averages of x[t - i] x[t - j] are those of x[t] x[t - |i - j|], min(i, j) samples ago.
    """

    lookahead = 0
    rate = Fraction(1, HOP)
    grid = period = HOP
    receptive_field = ORDER + 1

    def __init__(self) -> None:
        super().__init__(ORDER + 1)
        i = torch.arange(1, ORDER + 1)
        one, other = i.unsqueeze(0), i.unsqueeze(1)
        self.ago, self.lag = torch.minimum(one, other), (one - other).abs()

    def process(self, x: Tensor, memory: Tensor | None, timeline: Timeline) -> tuple[Tensor, Tensor]:
        """Solve the normal equations that are due in the next chunk."""
        seen = with_history(x, memory, ORDER)
        first = -timeline.phase % HOP
        frames = (
            seen[:, first:].unfold(1, ORDER + 1, HOP) if first < x.shape[1] else seen[:, :0].unsqueeze(-1)
        )
        frames = frames.flip(-1)  # (batch, frames, lag, ago)
        matrix = frames[:, :, self.lag, self.ago]
        energy = matrix.diagonal(dim1=-2, dim2=-1).mean(-1, keepdim=True) * WHITE + LEAST
        matrix = matrix + torch.diag_embed(energy.expand(*energy.shape[:-1], ORDER))
        found = torch.linalg.solve(matrix, frames[:, :, 1:, 0])
        return F.pad(found, (0, 1)), latest(seen, ORDER, timeline.segments)


class Predictor(nn.Module):
    """Predict every next sample, and say how far off the predictions have been; nothing in it learns.

    It computes in float64: the normal equations of speech are near to singular.
    """

    def __init__(self) -> None:
        super().__init__()
        width = ORDER + 1
        self.past = Delays(1, tuple(range(width)))
        hold = Upsample(width, HOP, dtype=torch.float64)
        self.coefficients = Chain(Products(width), EMA(width, HALF_LIFE), Solve(), hold)
        self.before = Delay(1, 1)
        self.spread = EMA(1, SPREAD)
        self.requires_grad_(False)

    @torch.no_grad()
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Predict.

        Args:
            x: The samples, float64.

        Returns:
            At every sample: the prediction of the next one; the error of the last prediction, x[t] - p[t - 1]; and the
            mean absolute error so far.

        Shape:
            (batch, time, 1) -> three times the same, float64.
        """
        past = self.past(x)
        prediction = (self.coefficients(past) * past).sum(-1, keepdim=True).clamp(-1, 1)
        error = x - self.before(prediction)
        return prediction, error, self.spread(error.abs()) + FINEST
