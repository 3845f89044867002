"""The energy of complex bands over time."""

from fractions import Fraction

import torch
from torch import Tensor

from dsptorch.audio.stft import saturated
from dsptorch.functional.filtering import latest, with_history
from dsptorch.functional.precision import at_least_single
from dsptorch.functional.resample import resample
from dsptorch.functional.timeline import Timeline
from dsptorch.functional.validate import check_int
from dsptorch.hyperparams import BoundedHyperparam, Hyperparam, check_hyperparam, current, fixed_repr
from dsptorch.layers import Layer
from dsptorch.layers.base import whole

__all__ = ["BandEnergy"]

NARROWEST, WIDEST = 0.05, 0.5


class BandEnergy(Layer):
    """Average the squared magnitude of complex bands with a Gaussian window and keep every `factor`-th value.

        e[n, k] = sum_m  w_k[m] * |z_k[factor * n - m]|^2,    sum_m w_k[m] = 1
        w_k[m] ~ exp(-((m - c) / (width_k c))^2 / 2),    c = (pool_length - 1) / 2

    Args:
        num_bands: The number of bands, K.
        factor: Values of z from one output to the next, at least 1.
        pool_length: The length of the window in values of z, at least 1. None takes 2.5 times the factor.
        width: The standard deviation of the window relative to half its length, in [0.05, 0.5]. A number is fixed. A
            `BoundedHyperparam` is learned, with one value or one for each band. None is learned per band, from 0.4.
        device: The device of the widths.

    Shape:
        (batch, time, 2 K), the real parts of all bands before the imaginary parts -> (batch, ceil(time / factor), K),
        in the same dtype.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    Example:
        >>> z = torch.tensor([3.0, 4.0]).expand(1, 8, 2)
        >>> BandEnergy(1, factor=4, pool_length=3)(z).flatten().detach()
        tensor([ 1.0097, 25.0000])

    References:
        N. Zeghidour et al., LEAF: A Learnable Frontend for Audio Classification, 2021, arXiv 2101.08596, sec. 3.2
        (learned Gaussian pooling).
    """

    lookahead = 0

    def __init__(
        self,
        num_bands: int,
        factor: int,
        pool_length: int | None = None,
        *,
        width: Hyperparam | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(2 * check_int("num_bands", num_bands, least=1), num_bands)
        self.factor = check_int("factor", factor, least=1)
        pool_length = max(1, 5 * factor // 2) if pool_length is None else pool_length
        self.pool_length = check_int("pool_length", pool_length, least=1)
        if width is None:
            width = BoundedHyperparam(0.4, NARROWEST, WIDEST, shape=(num_bands,), log=True, device=device)
        self.width = check_hyperparam("width", width, NARROWEST, WIDEST, width=num_bands)
        self.rate, self.grid = Fraction(1, factor), factor

    @property
    def delay(self) -> int | Fraction:
        """Delay: half the length of the window."""
        return whole(Fraction(self.pool_length - 1, 2))

    @property
    def period(self) -> int:
        """Period: the number of inputs from one output to the next."""
        return self.factor

    @property
    def receptive_field(self) -> int:
        """The length of the window."""
        return self.pool_length

    def windows(self, like: Tensor) -> Tensor:
        """The window of each band, (pool_length, K or 1)."""
        centre = (self.pool_length - 1) / 2
        width = torch.as_tensor(current(self.width), device=like.device).reshape(1, -1)
        at = torch.arange(self.pool_length, device=like.device, dtype=width.dtype).unsqueeze(1) - centre
        log = -0.5 * (at / (width * max(centre, 1.0))).square()
        return torch.softmax(log, 0)

    def process(self, x: Tensor, memory: Tensor | None, timeline: Timeline) -> tuple[Tensor, Tensor]:  # noqa: D102
        kept, segments = self.pool_length - 1, timeline.segments
        energy = at_least_single(x).square().unflatten(-1, (2, self.d_out)).sum(-2)
        seen = with_history(energy, memory, kept)
        y = resample(
            seen,
            self.windows(x),
            1,
            self.factor,
            history=kept,
            phase=timeline.phase,
            position=None if segments is None else segments.position,
        )
        return saturated(y, x.dtype), latest(seen, kept, segments)

    def extra_repr(self) -> str:  # noqa: D102
        return f"{self.d_out}, factor={self.factor}, pool_length={self.pool_length}{fixed_repr(width=self.width)}"


def stride_of(stride: int | None, hop_length: int) -> int:
    """The number of samples between values of the bands: the given one, or the greatest divisor up to hop / 16."""
    if stride is None:
        return max(s for s in range(1, max(1, hop_length // 16) + 1) if hop_length % s == 0)
    check_int("stride", stride, least=1)
    if hop_length % stride:
        raise ValueError(f"stride must divide hop_length={hop_length}, got {stride}")
    return stride
