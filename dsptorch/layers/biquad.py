"""Recursive filters of second-order sections, given by frequency and Q or learned freely."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from dsptorch.functional.biquad import BIQUADS, biquad_sos, reflected, reflections
from dsptorch.functional.lfilter import filter_sections
from dsptorch.functional.memo import Memo
from dsptorch.functional.timeline import Timeline
from dsptorch.functional.validate import check_finite
from dsptorch.hyperparams import (
    BoundedHyperparam,
    FirstValues,
    Spread,
    at_least_float32,
    check_spread,
    current,
    fixed_repr,
    made_of,
    real_tensors,
)
from dsptorch.layers.base import Layer
from dsptorch.layers.first_sections import LONGEST, first_sections, identity_sections


class _Cascade(Layer):
    """A cascade of second-order sections, which a subclass returns from `sos`."""

    lookahead = 0
    period = 1
    receptive_field = None

    def __init__(self, d_model: int) -> None:
        super().__init__(d_model)
        self._known = Memo()

    @abstractmethod
    def sos(self) -> Tensor:
        """The current sections in scipy's form: (sections, 6), (sections, 6, 1) or (sections, 6, d_model)."""

    @abstractmethod
    def _made_of(self) -> list[Any]:
        """What they are computed from."""

    def process(
        self, x: Tensor, memory: tuple[Tensor, ...] | None, timeline: Timeline
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        sos = self._known(self.sos, self._made_of()).to(x.device, torch.promote_types(x.dtype, torch.float32))
        y, memory = filter_sections(sos, x, memory, timeline.segments)
        # A copy: the backward pass reads the outputs of the recurrence, and the caller may change ours in place.
        return y.to(x.dtype, copy=y.requires_grad), memory


class Biquad(_Cascade):
    """Filter each channel by one second-order section, given by frequency and quality factor, or free.

        y[t] = b0 x[t] + b1 x[t-1] + b2 x[t-2] - a1 y[t-1] - a2 y[t-2]

    Args:
        d_model: The width.
        kind: "lowpass", "highpass", "bandpass", "notch" or "allpass" (see `dsptorch.functional.biquad_sos`), or "free":
            the coefficients are learned directly, as in `SOS`, and start as the identity.
        freq: The corner or centre frequency in cycles per sample, in [0.001, 0.499]. A number is fixed and the same
            for all channels. A `BoundedHyperparam` is learned, with one value for all channels or one for each. A pair
            gives learned frequencies within the pair, which start spread over it on a logarithmic scale from the first
            channel to the last. None takes the pair (1/64, 1/4).
        q: The quality factor, in [0.1, 100], in the same forms. None is learned, from sqrt(1/2) in [0.5, 8], on a
            logarithmic scale.
        device: The device of the parameters.
        dtype: The dtype of the numerator of a free section. All other parameters and the states are float32 at least.

    Shape:
        (batch, time, d_model) -> the same shape and dtype.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    Example:
        >>> layer = Biquad(1, "lowpass", freq=0.25, q=0.5 ** 0.5)
        >>> layer(torch.ones(1, 4, 1)).flatten()
        tensor([0.2929, 0.8787, 1.1213, 1.0208])
        >>> Biquad(8, "bandpass")
        Biquad(
          8, kind=bandpass
          (freq): BoundedHyperparam(mean 0.08411, shape=(8,), low=0.015625, high=0.25, log=True)
          (q): BoundedHyperparam(0.7071, low=0.5, high=8, log=True)
        )

    References:
        R. Bristow-Johnson, Cookbook formulae for audio equalizer biquad filter coefficients, 2005.
    """

    def __init__(
        self,
        d_model: int,
        kind: str = "lowpass",
        freq: Spread | None = None,
        q: Spread | None = None,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(d_model)
        self.kind = kind
        if kind == "free":
            if freq is not None or q is not None:
                raise ValueError(
                    "a free section has no freq and no q; leave them out, or choose another kind"
                )
            self.free = _Sections(d_model, identity_sections(1, d_model), 256.0, device, dtype)
            return
        if kind not in BIQUADS:
            raise ValueError(f"kind must be one of {', '.join(BIQUADS)}, free, got {kind!r}")
        if q is None:
            q = BoundedHyperparam(0.5**0.5, 0.5, 8.0, log=True, device=device)
        freq = (1 / 64, 1 / 4) if freq is None else freq
        # Within these bounds, rounding to float32 cannot move a pole to the unit circle.
        self.freq = check_spread("freq", freq, 1e-3, 0.499, width=d_model, device=device)
        self.q = check_spread("q", q, 0.1, 100.0, width=d_model, device=device)

    def sos(self) -> Tensor:
        """The current section in scipy's form: (1, 6), (1, 6, 1) or (1, 6, d_model)."""
        if self.kind == "free":
            return self.free.sos()
        values = [current(self.freq), current(self.q)]
        device = next((value.device for value in values if isinstance(value, Tensor)), None)
        numbers = (torch.as_tensor(v, dtype=None if isinstance(v, Tensor) else torch.float64) for v in values)
        return biquad_sos(self.kind, *(number.to(device) for number in numbers)).unsqueeze(0)

    def _made_of(self) -> list[Any]:
        return self.free.made_of() if self.kind == "free" else made_of(self.freq, self.q)

    def extra_repr(self) -> str:  # noqa: D102
        fixed = "" if self.kind == "free" else fixed_repr(freq=self.freq, q=self.q)
        return f"{self.d_model}, kind={self.kind}{fixed}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Biquad":
        # The free section has taps and handles casts by itself.
        super()._apply(fn if self.kind == "free" else at_least_float32(fn), recurse)  # type: ignore[no-untyped-call]
        return self


class SOS(_Cascade):
    """Filter each channel by a cascade of learned second-order sections.

        H(z) = prod_s  (b_s0 + b_s1 z^-1 + b_s2 z^-2) / (1 + a_s1 z^-1 + a_s2 z^-2)

    The numerators are free. The denominators are learned as reflection coefficients k1 and k2 in [-1, 1], with the
    poles scaled by a radius, so that no parameter value can move a pole outside this radius:

        a1 = radius k1 (1 + k2),   a2 = radius^2 k2,   radius = 2 ** (-1 / max_half_life)

    Args:
        d_model: The width.
        sos: The initial sections, (sections, 6) or (sections, 6, d_model), as scipy's designs return them
            (`output="sos"`); or the number of sections, which then start as the identity.
        max_half_life: The longest half-life of a pole in samples, in [1, 512].
        device: The device of the parameters.
        dtype: The dtype of the numerators. The reflection coefficients are float32 at least, and so are the states.

    Attributes:
        sections.b: The numerators, (sections, 3, d_model).
        sections.k1, sections.k2: Hyperparameters of shape (sections, d_model).

    Shape:
        (batch, time, d_model) -> the same shape and dtype.

    Raises:
        TypeError, ValueError: If an argument is not as described, or an initial section is not stable or has a pole
            that fades more slowly than `max_half_life`.

    Example:
        >>> from scipy.signal import butter
        >>> layer = SOS(2, butter(4, 0.25, output="sos"))
        >>> layer(torch.ones(1, 200, 2))[0, -1]                                      # unit gain at DC
        tensor([1.0000, 1.0000], grad_fn=<SelectBackward0>)

    References:
        J. D. Markel and A. H. Gray, Linear Prediction of Speech, 1976, ch. 5 (reflection coefficients and stability).
    """

    def __init__(
        self,
        d_model: int,
        sos: Any = 1,
        *,
        max_half_life: float = 256.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(d_model)
        if not 1 <= check_finite("max_half_life", max_half_life) <= LONGEST:
            raise ValueError(f"max_half_life must be in [1, {LONGEST:g}] samples, got {max_half_life}")
        self.max_half_life = max_half_life
        self.sections = _Sections(
            d_model, first_sections(sos, d_model, max_half_life), max_half_life, device, dtype
        )

    def sos(self) -> Tensor:
        """The current sections in scipy's form: (sections, 6, d_model)."""
        return self.sections.sos()

    def _made_of(self) -> list[Any]:
        return self.sections.made_of()

    def extra_repr(self) -> str:  # noqa: D102
        return f"{self.d_model}, sections={len(self.sections.b)}, max_half_life={self.max_half_life:g}"


class _Sections(FirstValues):
    """Free sections: numerators, and denominators given by reflection coefficients.

    Args:
        d_model: The width.
        first: The initial sections, (sections, 6, d_model), float64.
        max_half_life: See `SOS`.
        device: The device of the parameters.
        dtype: The dtype of the numerators.
    """

    no_weight_decay = ("b",)

    def __init__(
        self,
        d_model: int,
        first: Tensor,
        max_half_life: float,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        self.radius = 2 ** (-1 / max_half_life)
        with real_tensors():
            k1, k2 = (k.float() for k in reflections(first[:, 4], first[:, 5], self.radius))
            self._first = first[:, :3].clone()
        self.k1, self.k2 = (BoundedHyperparam(k, -1.0, 1.0, device=device) for k in (k1, k2))
        self.b = nn.Parameter(torch.empty(self._first.shape, device=device, dtype=dtype))
        self.set_first_values()

    def first_values(self) -> dict[str, Tensor]:
        return {"b": self._first}

    def sos(self) -> Tensor:
        """The sections, (sections, 6, d_model)."""
        k1, k2 = (torch.as_tensor(current(k)) for k in (self.k1, self.k2))
        a1, a2 = reflected(k1, k2, self.radius)
        return torch.cat([self.b.to(a1.dtype), torch.stack([torch.ones_like(a1), a1, a2], 1)], 1)

    def made_of(self) -> list[Any]:
        """What they are computed from."""
        return made_of(self.k1, self.k2, self.b)
