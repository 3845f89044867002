"""The algebra of periodically time-varying filters."""

from collections.abc import Callable, Sequence
from functools import reduce

import torch
from torch import Tensor

from dsptorch.functional.filtering import filter_chunk, filter_signal
from dsptorch.functional.fold import Weight, fold
from dsptorch.functional.plan import IDENTITY, Literal, Plan, Scaled, Shift, Slot, hold
from dsptorch.functional.response import FrequencyResponse, frequency_response, impulse_response
from dsptorch.functional.state import State, next_state, timeline_of
from dsptorch.functional.support import Support
from dsptorch.functional.validate import check_finite, check_int, check_signal, describe


class PeriodicFIR:
    """A depthwise, linear, periodically time-varying FIR filter: an immutable value with an algebra.

        y[t, c] = sum_k  w[t mod P, k, c] * x[t - k + A, c]

    `identity`, `fir`, `delay` and `hold` make filters; `f @ g` (first g, then f), `f + g`, `f - g`, `gain * f` and
    `f.at_rate(s)` combine them. An expression keeps its parts. Called on a signal, it runs as one pass with the
    folded taps or as a cascade with true decimation, whichever costs less. Gradients flow to every tap and every
    gain. The signal is zero outside its ends.

    Shape:
        f(x): (batch, time, channels) -> the same shape and dtype.

    Example:
        A two-band split that returns its input for any low-pass:

        >>> low = PeriodicFIR.fir(torch.tensor([0.5, 0.5]))
        >>> coarse = PeriodicFIR.hold(2) @ low
        >>> detail = PeriodicFIR.identity() - coarse
        >>> x = torch.randn(1, 8, 3)
        >>> torch.allclose((coarse + detail)(x), x, atol=1e-6)
        True
        >>> coarse
        PeriodicFIR(period=2, taps=3, lookahead=0, receptive_field=3)

    References:
        P. P. Vaidyanathan, Multirate Systems and Filter Banks, 1993, sec. 10.1 (LPTV systems).
        P. J. Burt and E. H. Adelson, The Laplacian Pyramid as a Compact Image Code, IEEE Trans. Commun.
        31(4), 1983, p. 532.
    """

    def __init__(self, plan: Plan, weights: Sequence[Weight] = ()) -> None:
        self.plan, self.weights = plan, tuple(weights)

    # Constructors

    @staticmethod
    def identity() -> "PeriodicFIR":
        """The filter y[t] = x[t]."""
        return PeriodicFIR(IDENTITY)

    @staticmethod
    def delay(delay: int) -> "PeriodicFIR":
        """The filter y[t] = x[t - delay]; a negative delay, in samples, looks ahead."""
        return PeriodicFIR(Shift(check_int("delay", delay)))

    @staticmethod
    def fir(weight: Tensor, offset: int = 0) -> "PeriodicFIR":
        """The filter y[t, c] = sum_k weight[t mod P, k, c] * x[t - k + offset, c].

        Args:
            weight: The taps, tap k at lag k - offset.
            offset: Number of taps that look ahead, in samples; any integer.

        Shape:
            weight: (taps,), (taps, channels) or (period, taps, channels).

        Raises:
            ValueError: If the weight has another number of dimensions or is empty.
        """
        if not isinstance(weight, Tensor) or not weight.is_floating_point():
            raise TypeError(
                f"weight must be a floating-point tensor, got {describe(weight)}; convert it with torch.as_tensor"
            )
        if weight.dim() not in (1, 2, 3) or 0 in weight.shape:
            raise ValueError(
                "weight must be a non-empty (taps,), (taps, channels) or (period, taps, channels) tensor, "
                f"got shape {tuple(weight.shape)}"
            )
        weight = weight.reshape(-1, 1) if weight.dim() == 1 else weight
        weight = weight.unsqueeze(0) if weight.dim() == 2 else weight
        first = -check_int("offset", offset)
        lags = tuple(range(first, first + weight.shape[1]))
        support = Support.full(weight.shape[0], lags)
        return PeriodicFIR(Literal(Slot(0), support, weight.shape[-1]), [weight])

    @staticmethod
    def hold(factor: int) -> "PeriodicFIR":
        """Decimate, then hold: y[t] = x[factor * floor(t / factor)]."""
        return PeriodicFIR(hold(check_int("factor", factor, least=1)))

    # Algebra

    @staticmethod
    def compose(*filters: "PeriodicFIR") -> "PeriodicFIR":
        """The product f @ g @ ... @ h: first h, ..., then g, then f.

        Up to PyTorch 2.13 at least, Dynamo does not trace `@` between objects that are not tensors, nor a tensor
        times such an object. In a function that is to be compiled, write `compose` for `@` and
        `fir(gain.reshape(1, -1))` for a gain; or build large filters in a `torch._dynamo.nonstrict_trace` function,
        as `Multirate` does.

        Example:
            >>> low = PeriodicFIR.fir(torch.ones(4) / 4)
            >>> PeriodicFIR.compose(PeriodicFIR.hold(2), low)
            PeriodicFIR(period=2, taps=5, lookahead=0, receptive_field=5)
        """
        if not filters:
            return PeriodicFIR.identity()
        product = filters[0]
        for following in filters[1:]:
            product = product.__matmul__(following)
        return product

    def __matmul__(self, other: "PeriodicFIR") -> "PeriodicFIR":
        """First `other`, then `self`."""
        self._check_operand("@", other)
        return self._joined(Plan.__matmul__, other)

    def __add__(self, other: "PeriodicFIR") -> "PeriodicFIR":
        self._check_operand("+", other)
        return self._joined(Plan.__add__, other)

    def __sub__(self, other: "PeriodicFIR") -> "PeriodicFIR":
        self._check_operand("-", other)
        return self._joined(Plan.__sub__, other)

    def __neg__(self) -> "PeriodicFIR":
        return PeriodicFIR(Scaled(self.plan, -1.0, None), self.weights)

    def __mul__(self, gain: float | Tensor) -> "PeriodicFIR":
        """Scale by a number, a one-element tensor, or one gain a channel."""
        if isinstance(gain, Tensor):
            if gain.dim() > 1 and gain.numel() > 1:
                raise ValueError(f"gain must be a scalar or of shape (channels,), got {tuple(gain.shape)}")
            self._check_width("*", gain.numel())
            slot = Slot(len(self.weights))
            return PeriodicFIR(Scaled(self.plan, 1.0, slot, gain.numel()), (*self.weights, gain))
        if isinstance(gain, PeriodicFIR):
            raise TypeError("* scales by a number or a tensor; compose two filters with @")
        return PeriodicFIR(Scaled(self.plan, check_finite("gain", gain), None), self.weights)

    __rmul__ = __mul__

    def at_rate(self, factor: int) -> "PeriodicFIR":
        """The same filter for a signal held by `factor`.

        w'[p, factor * k] = w[floor(p / factor) mod P, k], with period factor * P (1 if P is 1) and offset factor * A.
        So `f.at_rate(s) @ hold(s)` filters the decimated signal and holds the result.
        """
        return PeriodicFIR(self.plan.at_rate(check_int("factor", factor, least=1)), self.weights)

    def folded(self) -> "PeriodicFIR":
        """The same filter with its taps folded into one weight tensor, for inference with constant weights."""
        weight = self._weight()
        return PeriodicFIR(Literal(Slot(0), self.plan.support, weight.shape[-1]), [weight])

    # Properties

    @property
    def period(self) -> int:
        """The filter commutes with time shifts by multiples of this number of samples."""
        return self.plan.support.period

    @property
    def taps(self) -> int:
        """The number of taps of the folded filter."""
        return len(self.plan.support.lags)

    @property
    def lookahead(self) -> int:
        """The most future samples that an output may use; 0 if and only if causal by construction."""
        return self.plan.support.lookahead

    @property
    def memory(self) -> int:
        """The most past samples that an output may use."""
        return self.plan.support.memory

    @property
    def receptive_field(self) -> int:
        """The number of consecutive input samples that an output may use: lookahead + 1 + memory."""
        return self.lookahead + 1 + self.memory

    @property
    def channels(self) -> int | None:
        """The width of the weights; None if the filter fits every width."""
        return None if self.plan.width == 1 else self.plan.width

    def impulse_response(self, phase: int = 0) -> Tensor:
        """The response to an impulse at a time of the given phase: see `response.impulse_response`."""
        return impulse_response(self._weight(), self.plan.support, phase)

    def frequency_response(self, freq: int | Tensor = 512) -> FrequencyResponse:
        """The gains at each frequency and at its aliases: see `response.frequency_response`."""
        return frequency_response(self._weight(), self.plan.support, freq)

    # Filtering

    def __call__(self, x: Tensor, *, fold: bool | None = None) -> Tensor:
        """Filter a whole signal.

        Args:
            x: The signal; its first sample is at phase 0, and it is zero outside its ends.
            fold: True runs one pass with the folded taps, False a cascade of the parts, and None (the
                default) the one that is estimated to be faster. The numbers are the same to rounding.

        Shape:
            (batch, time, channels) -> the same shape and dtype.
        """
        check_signal(x, self.channels, "PeriodicFIR")
        return filter_signal(self.plan, self.weights, x, fold)

    def step(
        self, x: Tensor, state: State | None = None, segment_ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Filter the next chunk of a signal; chunk by chunk, the result equals filtering the whole signal.

        Args:
            x: The next samples of every row, any number of them.
            state: The state returned by the previous call; None for rest at position 0. Rows may stand at different
                positions.
            segment_ids: For each sample, the integer id of its signal within the row; the filter restarts wherever
                the id changes. Negative ids are a signal like any other. None continues the present signal.

        Shape:
            (batch, time >= 0, channels) -> the same shape, and the state. segment_ids: (batch, time).

        Raises:
            ValueError: If the filter looks ahead, or the state does not belong to such a signal.
        """
        check_signal(x, self.channels, "PeriodicFIR")
        if self.lookahead:
            raise ValueError(
                f"step needs a causal filter, but this one looks ahead by {self.lookahead} samples; "
                f"compose it with PeriodicFIR.delay({self.lookahead}), or filter the whole signal"
            )
        timeline = timeline_of(x, state, segment_ids)
        history = None if state is None else state.memory
        y, history = filter_chunk(self.plan, self.weights, x, history, timeline)
        return y, next_state(x, state, timeline, history)

    def __repr__(self) -> str:
        return (
            f"PeriodicFIR(period={self.period}, taps={self.taps}, lookahead={self.lookahead}, "
            f"receptive_field={self.receptive_field})"
        )

    def _weight(self) -> Tensor:
        tensors = [weight for weight in self.weights if isinstance(weight, Tensor)]
        dtype = reduce(torch.promote_types, (weight.dtype for weight in tensors), torch.float32)
        like = torch.empty((), dtype=dtype, device=tensors[0].device if tensors else None)
        return fold(self.plan, self.weights, like)

    def _joined(self, how: Callable[[Plan, Plan], Plan], other: "PeriodicFIR") -> "PeriodicFIR":
        """Combine two plans, with one slot for a weight that both contain."""
        weights = list(self.weights)
        slots = []
        for weight in other.weights:
            known = [slot for slot, mine in enumerate(weights) if mine is weight]
            slots.append(known[0] if known else len(weights))
            if not known:
                weights.append(weight)
        return PeriodicFIR(how(self.plan, other.plan.renumbered(slots)), weights)

    def _check_operand(self, symbol: str, other: object) -> None:
        if not isinstance(other, PeriodicFIR):
            raise TypeError(
                f"{symbol} takes two PeriodicFIR, got {describe(other)}; make a filter of taps with "
                "PeriodicFIR.fir(taps), and scale with *"
            )
        self._check_width(symbol, other.plan.width)

    def _check_width(self, symbol: str, width: int) -> None:
        if 1 not in (width, self.plan.width) and width != self.plan.width:
            raise ValueError(
                f"{symbol} takes operands of equal width (or 1), got {self.plan.width} and {width}"
            )
