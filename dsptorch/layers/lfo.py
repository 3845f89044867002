"""Low-frequency oscillators: control signals as a function of the absolute position."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from dsptorch.functional.memo import Memo
from dsptorch.functional.oscillator import lfo_phase, phase_at, phase_words
from dsptorch.functional.validate import check_finite, check_int, describe
from dsptorch.functional.waveform import WAVEFORMS, check_sharpness
from dsptorch.hyperparams import (
    FirstValues,
    Hyperparam,
    Spread,
    at_least_float32,
    check_hyperparam,
    check_spread,
    current,
    fixed_repr,
    made_of,
)

__all__ = ["LFO", "Oscillators", "check_lfo", "over_channels"]

HIGHEST = 0.5
"""The highest frequency: half a cycle per sample."""


class Oscillators(FirstValues):
    """Oscillators in an array of any shape. Their parameters stay float32 at least when the model is cast to half.

    Args:
        freq: Cycles per sample: one value, or values of shape `shape`.
        shape: The shape of the array of oscillators.
        phase: The initial phases: "random", "spread" (evenly over a cycle), or one number of cycles for all.
        waveform: One of `WAVEFORMS`.
        sharpness: The sharpness of "square" and "saw".
        device: The device of the phases.

    Attributes:
        phase: The phases in cycles, a learned parameter of shape `shape`.
    """

    no_weight_decay: tuple[str, ...] = ("phase",)

    def __init__(
        self,
        freq: Hyperparam,
        shape: tuple[int, ...],
        phase: str | float,
        device: torch.device | str | None,
        waveform: str = "sine",
        sharpness: float = 0.9,
    ) -> None:
        super().__init__()
        if waveform not in WAVEFORMS:
            raise ValueError(f"waveform must be one of {', '.join(WAVEFORMS)}, got {waveform!r}")
        if isinstance(phase, str) and phase not in ("random", "spread"):
            raise ValueError(f"phase must be 'random', 'spread' or a number of cycles, got {phase!r}")
        self.waveform, self.sharpness = waveform, check_sharpness(sharpness)
        self._first_phase = phase if isinstance(phase, str) else check_finite("phase", phase)
        self.freq = freq
        self.phase = nn.Parameter(self._parameter(shape, device))
        self._words = Memo()

    @staticmethod
    def _parameter(shape: tuple[int, ...], device: torch.device | str | None) -> Tensor:
        """An uninitialised parameter, float32 at least."""
        dtype = torch.promote_types(torch.get_default_dtype(), torch.float32)
        return torch.empty(shape, device=device, dtype=dtype)

    def first_values(self) -> dict[str, Tensor]:
        """The initial phases."""
        shape, count = self.phase.shape, self.phase.numel()
        if self._first_phase == "random":
            return {"phase": torch.empty_like(self.phase).uniform_(0.0, 1.0)}
        if self._first_phase == "spread":
            return {"phase": (torch.arange(count, dtype=torch.float64) / count).reshape(shape)}
        return {"phase": torch.full(shape, float(self._first_phase), dtype=torch.float64)}

    def waves(self, position: Tensor) -> Tensor:
        """The waves at absolute positions: int64, (...) -> (..., *shape), in [-1, 1]."""
        return WAVEFORMS[self.waveform](self._cycles(position), self.sharpness)

    def _cycles(self, position: Tensor) -> Tensor:
        """The wrapped phases at absolute positions."""
        freq, phase = self.freq, self.phase
        for _ in range(phase.dim()):
            position = position.unsqueeze(-1)
        if torch.is_grad_enabled():
            return lfo_phase(self._freq(), position, phase)
        words = self._words(lambda: phase_words(self._freq(), phase), made_of(freq, phase))
        return phase_at(words, position)

    def _freq(self) -> Tensor:
        """The frequencies, in the dtype of the phases."""
        return torch.as_tensor(current(self.freq), device=self.phase.device, dtype=self.phase.dtype)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Oscillators":
        super()._apply(at_least_float32(fn), recurse)  # type: ignore[no-untyped-call]
        return self


class LFO(Oscillators):
    """Low-frequency oscillators: control signals as a function of the absolute position.

        w_k(t) = wave(freq_k * t + phase_k)

    The phase is computed in 64-bit fixed point, so position 10^9 is as exact as position 0, also in float32. A layer
    passes its positions, `lfo(timeline.positions(x))`, so the signal restarts with each packed segment and continues
    from chunk to chunk.

    Args:
        num: Number of oscillators, at least 1.
        freq: Cycles per sample, in [0, 0.5]. A number is fixed and the same for all. A `BoundedHyperparam` is learned,
            with one value for all or one for each. A pair (above 0) gives learned frequencies within the pair, which
            start spread over it on a logarithmic scale, from the first to the last.
        phase: The initial phases in cycles; they are learned. "spread": evenly over a cycle. "random": uniform over a
            cycle. A number: the same phase for all.
        waveform: "sine", "triangle", or "square" and "saw" with rounded corners (`soft_square` and `soft_saw`). All
            rise through 0 at phase 0, and stay in [-1, 1].
        sharpness: The sharpness of the corners of "square" and "saw", in [0.01, 0.999].
        device: The device of the parameters.

    Attributes:
        freq: As given; for a pair, a BoundedHyperparam of `num` values.
        phase: The phases, (num,), float32 at least for any dtype of the model.

    Shape:
        position: (...), int64 -> (..., num), in the dtype of the phases.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    Example:
        >>> lfo = LFO(2, freq=0.125, phase="spread")
        >>> lfo(torch.arange(4)).detach().round(decimals=4) + 0.0
        tensor([[ 0.0000,  0.0000],
                [ 0.7071, -0.7071],
                [ 1.0000, -1.0000],
                [ 0.7071, -0.7071]])

    References:
        J. Dattorro, "Effect design, part 3: oscillators", Journal of the Audio Engineering Society 50(3), 2002, pages
        115-146.
    """

    def __init__(
        self,
        num: int,
        freq: Spread = (1 / 256, 1 / 16),
        *,
        phase: str | float = "spread",
        waveform: str = "sine",
        sharpness: float = 0.9,
        device: torch.device | str | None = None,
    ) -> None:
        num = check_int("num", num, least=1)
        if isinstance(freq, (tuple, list)):
            freq = check_spread("freq", freq, 1e-6, HIGHEST, width=num, device=device)
        else:
            freq = check_hyperparam("freq", freq, 0.0, HIGHEST, width=num)
        super().__init__(freq, (num,), phase, device, waveform, sharpness)
        self.num = num
        self.set_first_values()

    def forward(self, position: Tensor) -> Tensor:
        """The control signals at absolute positions."""
        if not isinstance(position, Tensor) or position.dtype != torch.int64:
            raise TypeError(
                f"position must be a tensor of int64 (a float one loses steps), got {describe(position)}"
            )
        return self.waves(position)

    def extra_repr(self) -> str:  # noqa: D102
        sharp = f", sharpness={self.sharpness:g}" if self.waveform in ("square", "saw") else ""
        return f"{self.num}{fixed_repr(freq=self.freq)}, waveform={self.waveform}{sharp}"


def check_lfo(lfo: "LFO | None", d_model: int, device: torch.device | str | None) -> LFO:
    """Return the oscillators of a layer, one for each group of channels (of equal size); by default one for all."""
    if lfo is None:
        return LFO(1, device=device)
    if not isinstance(lfo, LFO):
        raise TypeError(f"lfo must be an LFO or None, got {describe(lfo)}")
    if d_model % lfo.num:
        raise ValueError(
            f"the oscillators must divide d_model, got {lfo.num} of them for a width of {d_model}"
        )
    return lfo


def over_channels(values: Tensor, channels: int) -> Tensor:
    """Expand values from groups of channels to channels; a single value is kept: (..., num)."""
    num = values.shape[-1]
    return values if num == 1 else values.repeat_interleave(channels // num, -1)
