"""Compression of energies: the logarithm, and per-channel energy normalization."""

import torch
from torch import Tensor

from dsptorch.functional.precision import at_least_single
from dsptorch.functional.timeline import Timeline
from dsptorch.functional.validate import check_int
from dsptorch.hyperparams import BoundedHyperparam, Hyperparam, check_hyperparam, current, fixed_repr
from dsptorch.layers import EMA, Layer
from dsptorch.layers.base import call_layer
from dsptorch.layers.pointwise import PointwiseLayer

__all__ = ["PCEN", "LogCompression"]

_LEAST, _MOST = 1e-30, 1e6


class LogCompression(PointwiseLayer):
    """The logarithm of energies.

        y = ln(max(x, 0) + floor)

    Args:
        d_model: The width.
        floor: What is added to the energies, in [1e-30, 1e6]. A number: fixed. A `BoundedHyperparam`: learned, one
            value or one for each channel.

    Shape:
        (batch, time, d_model) -> the same shape and dtype; computed in float32 at least.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    Example:
        >>> LogCompression(1)(torch.tensor([0.0, 1.0]).reshape(1, 2, 1)).flatten()
        tensor([-1.3816e+01,  9.5367e-07])
    """

    def __init__(self, d_model: int, floor: Hyperparam = 1e-6) -> None:
        super().__init__(d_model)
        self.floor = check_hyperparam("floor", floor, _LEAST, _MOST, width=d_model)

    def apply_pointwise(self, x: Tensor) -> Tensor:  # noqa: D102
        return torch.log(at_least_single(x).clamp_min(0) + current(self.floor)).to(x.dtype)

    def extra_repr(self) -> str:  # noqa: D102
        return f"{self.d_model}{fixed_repr(floor=self.floor)}"


class PCEN(Layer):
    """Divide energies by their average over the past, and compress them: per-channel energy normalization.

        y[t] = (x[t] / (eps + m[t]) ** gain + bias) ** power - bias ** power
        m[t] = m[t-1] + (1 - 2 ** (-1 / half_life)) (x[t] - m[t-1]),    m[-1] = x[0]

    Negative energies count as 0.

    Args:
        d_model: The width.
        gain: How much of the average is divided out, in [0, 1]. A number: fixed. A `BoundedHyperparam`: learned, one
            value or one for each channel. None: learned for each channel in [0.1, 1], 0.96 at first.
        bias: In [0.01, 100]; None: learned for each channel in [0.1, 10], 2 at first.
        power: In [0.01, 1]; None: learned for each channel in [0.05, 1], 0.5 at first.
        half_life: Of the average, in samples; None: learned for each channel in [1, 1000], 16.98 at first, which is a
            smoothing coefficient of 0.04.
        eps: What keeps the division finite, in [1e-30, 1]. The gradient reaches 1 / eps; for float16, which ends at
            65504, take at least 1e-3.
        device: The device of the hyperparameters.

    Shape:
        (batch, time, d_model) -> the same shape and dtype; computed in float32 at least.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    Example:
        >>> layer = PCEN(1)
        >>> quiet = torch.full((1, 4, 1), 1e-3)
        >>> layer(quiet).flatten().detach(), layer(1000 * quiet).flatten().detach()
        (tensor([0.2465, 0.2465, 0.2465, 0.2465]), tensor([0.3178, 0.3178, 0.3178, 0.3178]))

    References:
        Y. Wang et al., Trainable Frontend for Robust and Far-Field Keyword Spotting, 2017, arXiv 1607.05666, eq. 1
        to 3; V. Lostanlen et al., Per-Channel Energy Normalization: Why and How, IEEE Signal Processing
        Letters 26(1), 2019, p. 39.
    """

    lookahead = 0
    period = None
    receptive_field = None

    def __init__(
        self,
        d_model: int,
        gain: Hyperparam | None = None,
        bias: Hyperparam | None = None,
        power: Hyperparam | None = None,
        half_life: Hyperparam | None = None,
        *,
        eps: float = 1e-6,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(check_int("d_model", d_model, least=1))

        def learned(value: float, low: float, high: float, log: bool = True) -> BoundedHyperparam:
            return BoundedHyperparam(value, low, high, log=log, shape=(d_model,), device=device)

        gain = learned(0.96, 0.1, 1.0, log=False) if gain is None else gain
        bias = learned(2.0, 0.1, 10.0) if bias is None else bias
        power = learned(0.5, 0.05, 1.0) if power is None else power
        half_life = learned(16.98, 1.0, 1000.0) if half_life is None else half_life
        self.gain = check_hyperparam("gain", gain, 0.0, 1.0, width=d_model)
        self.bias = check_hyperparam("bias", bias, 0.01, 100.0, width=d_model)
        self.power = check_hyperparam("power", power, 0.01, 1.0, width=d_model)
        if isinstance(check_hyperparam("eps", eps, _LEAST, 1.0), BoundedHyperparam):
            raise TypeError("eps must be a number, got a BoundedHyperparam")
        self.eps = float(eps)
        self.average = EMA(d_model, half_life, start="first", device=device)

    def process(self, x: Tensor, memory: Tensor | None, timeline: Timeline) -> tuple[Tensor, Tensor]:  # noqa: D102
        energy = at_least_single(x).clamp_min(0)
        average, memory = call_layer(self.average, energy, memory, timeline)
        gain, power = current(self.gain), current(self.power)
        bias = torch.as_tensor(current(self.bias), dtype=energy.dtype, device=x.device)
        # The same as above, without the difference of two numbers that are nearly equal.
        relative = energy * torch.exp(-gain * torch.log(self.eps + average)) / bias
        y = bias**power * torch.expm1(power * torch.log1p(relative))
        return y.to(x.dtype), memory

    def extra_repr(self) -> str:  # noqa: D102
        return (
            f"{self.d_model}{fixed_repr(gain=self.gain, bias=self.bias, power=self.power)}, eps={self.eps:g}"
        )
