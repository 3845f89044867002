"""A damped oscillator for each channel, excited by the signal."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from dsptorch.functional.recurrence import recur_coupled
from dsptorch.functional.timeline import Timeline
from dsptorch.hyperparams import Spread, at_least_float32, check_spread, current, fixed_repr
from dsptorch.layers.base import Layer
from dsptorch.layers.ema import LONGEST, SHORTEST


class Resonator(Layer):
    """Filter each channel by a complex one-pole filter, which rings at its frequency and fades with its half-life.

        z[t] = p z[t-1] + g x[t],   p = 2 ** (-1 / half_life) exp(2 pi i freq),   y = Re z

    It runs in real arithmetic, as two coupled states per channel.

    Args:
        d_model: The width.
        freq: The frequency in cycles per sample, in [0.00001, 0.5]. A number is fixed and the same for all channels. A
            `BoundedHyperparam` is learned, with one value for all channels or one for each. A pair gives learned
            frequencies within the pair, which start spread over it on a logarithmic scale, from the first channel to
            the last.
        half_life: The half-life of the oscillation in samples, in [0.1, 65536], in the same forms.
        gain: The gain g. "peak": 1 - abs(p), so that the response of z has its peak, 1, at freq, and no output
            exceeds the greatest input. "noise": sqrt(1 - abs(p) ** 2), so that white noise keeps its variance.
        output: "real": y as above. "both": the real parts of all channels, followed by the imaginary parts, 2 * d_model
            channels; the sum of their squares is an envelope.
        device: The device of the hyperparameters.
        dtype: Accepted as in every layer. The hyperparameters are float32 for any dtype, and the states are float32 at
            least.

    Shape:
        (batch, time, d_model) -> (batch, time, d_model), or 2 * d_model channels, in the same dtype.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    Example:
        >>> layer = Resonator(1, freq=0.25, half_life=2.0)
        >>> impulse = torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0]).reshape(1, 5, 1)
        >>> (layer(impulse) / layer(impulse)[:, :1]).flatten().round(decimals=4) + 0.0
        tensor([ 1.0000,  0.0000, -0.5000,  0.0000,  0.2500])

    References:
        A. Orvieto et al., Resurrecting Recurrent Neural Networks for Long Sequences, 2023, arXiv 2303.06349, sec. 3
        (diagonal complex recurrences, the gain for white noise).
    """

    lookahead = 0
    period = 1
    receptive_field = None

    def __init__(
        self,
        d_model: int,
        freq: Spread = (1 / 64, 1 / 4),
        half_life: Spread = (64.0, 4.0),
        *,
        gain: str = "peak",
        output: str = "real",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(d_model)
        if gain not in ("peak", "noise"):
            raise ValueError(f"gain must be 'peak' or 'noise', got {gain!r}")
        if output not in ("real", "both"):
            raise ValueError(f"output must be 'real' or 'both', got {output!r}")
        self.gain, self.output = gain, output
        self.d_out = d_model if output == "real" else 2 * d_model
        self.freq = check_spread("freq", freq, 1e-5, 0.5, width=d_model, device=device)
        self.half_life = check_spread("half_life", half_life, SHORTEST, LONGEST, width=d_model, device=device)

    def process(self, x: Tensor, memory: Tensor | None, timeline: Timeline) -> tuple[Tensor, Tensor]:  # noqa: D102
        radius, angle = self._pole(x)
        real, imaginary = radius * torch.cos(angle), radius * torch.sin(angle)
        matrix = torch.stack([torch.stack([real, -imaginary]), torch.stack([imaginary, real])])
        begins = None if timeline.segments is None else timeline.segments.position == 0
        u = F.pad(x.to(matrix.dtype).unsqueeze(2), (0, 0, 0, 1))  # the imaginary part of the input is 0
        z, memory = recur_coupled(u, matrix, memory, begins)
        gain = 1 - radius if self.gain == "peak" else torch.sqrt((1 - radius) * (1 + radius))
        y = gain * (z.select(2, 0) if self.output == "real" else z)
        return y.reshape(*x.shape[:2], self.d_out).to(x.dtype), memory

    def _pole(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The radius and the angle of the pole of each channel."""
        dtype = torch.promote_types(x.dtype, torch.float32)
        freq, half_life = (
            (value if isinstance(value, Tensor) else torch.full((), value, dtype=dtype, device=x.device))
            .to(dtype)
            .expand(self.d_model)
            for value in (current(self.freq), current(self.half_life))
        )
        return torch.exp2(-1 / half_life), 2 * math.pi * freq

    def extra_repr(self) -> str:  # noqa: D102
        return (
            f"{self.d_model}{fixed_repr(freq=self.freq, half_life=self.half_life)}, gain={self.gain}, "
            f"output={self.output}"
        )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Resonator":
        super()._apply(at_least_float32(fn), recurse)  # type: ignore[no-untyped-call]
        return self
