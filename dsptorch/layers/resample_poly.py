"""Change the rate by a rational factor, with a fixed filter."""

from collections.abc import Callable
from fractions import Fraction

import torch
from torch import Tensor

from dsptorch.functional.resample_design import linear_phase_delay, resample_taps
from dsptorch.functional.validate import check_int
from dsptorch.hyperparams import at_least_float32, real_tensors
from dsptorch.layers.base import whole
from dsptorch.layers.resample import Resampler


class ResamplePoly(Resampler):
    """Change the rate by up / down with a fixed low-pass, as `scipy.signal.resample_poly` designs it.

        y[n] = sum_k  h[(n M mod L) + k L] * x[floor(n M / L) - k],    L / M = up / down

    The filter is symmetric and causal, with 20 max(L, M) + 1 taps. The layer declares its delay, 10 max(L, M) / L input
    samples.

    Args:
        d_model: The width.
        up: Outputs per `down` inputs, at least 1.
        down: Inputs per `up` outputs, at least 1. A common factor of up and down is divided out.
        window: The window of the design: "hann", "hamming", "blackman", "boxcar" or ("kaiser", beta), as in
            `scipy.signal.get_window`.
        device: The device of the taps.
        dtype: The dtype of the taps, float32 at least.

    Attributes:
        filter: The taps h, (20 max(L, M) + 1,): a buffer.

    Shape:
        (batch, time, d_model) -> (batch, ceil(time * up / down), d_model), in the same dtype.

    Raises:
        TypeError, ValueError: If an argument is not as described, or the filter would have more than 2**20 taps.

    Example:
        >>> layer = ResamplePoly(2, 3, 2)
        >>> layer(torch.randn(1, 9, 2)).shape
        torch.Size([1, 14, 2])
        >>> layer.rate, layer.delay
        (Fraction(3, 2), 10)

    References:
        A. V. Oppenheim and R. W. Schafer, Discrete-Time Signal Processing, 3rd ed., 2010, sec. 4.6.3 (changing the
        sampling rate by a noninteger factor), p. 191.
    """

    filter: Tensor

    def __init__(
        self,
        d_model: int,
        up: int,
        down: int,
        *,
        window: str | tuple[str, float] = ("kaiser", 5.0),
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        rate = Fraction(check_int("up", up, least=1), check_int("down", down, least=1))
        with real_tensors():
            taps = resample_taps(rate.numerator, rate.denominator, window, dtype=torch.float64)
        delay = linear_phase_delay(len(taps), rate.numerator)
        super().__init__(d_model, rate.numerator, rate.denominator, len(taps), whole(delay))
        self.window = window
        self._first = taps
        dtype = torch.promote_types(dtype or torch.get_default_dtype(), torch.float32)
        self.register_buffer("filter", torch.empty(len(taps), device=device, dtype=dtype))
        self.set_first_values()

    def first_values(self) -> dict[str, Tensor]:  # noqa: D102
        return {"filter": self._first}

    def taps(self) -> Tensor:
        """The fixed taps, (numtaps,)."""
        return self.filter

    def extra_repr(self) -> str:  # noqa: D102
        return (
            f"{self.d_model}, up={self.rate.numerator}, down={self.rate.denominator}, window={self.window!r}"
        )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "ResamplePoly":
        super()._apply(at_least_float32(fn), recurse)  # type: ignore[no-untyped-call]
        return self
