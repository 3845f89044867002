"""The algebra of periodically time-varying filters."""

from functools import reduce

import torch
from torch import Tensor

from dsptorch.functional import nodes, stream
from dsptorch.functional.compose import compose
from dsptorch.functional.pattern import Pattern
from dsptorch.functional.response import FrequencyResponse, frequency_response, impulse_response
from dsptorch.functional.segments import check_segment_ids, find_segments
from dsptorch.functional.stream import FIRState
from dsptorch.functional.taps import Taps
from dsptorch.functional.validate import check_finite, check_int, check_signal, describe


class PeriodicFIR:
    """A depthwise, linear, periodically time-varying FIR filter: a value with an algebra.

        y[t, c] = sum_k  w[t mod P, k, c] * x[t - k + A, c]

    Filters are made by `identity`, `fir`, `delay` and `hold`, and combined: `f @ g` (first g, then f),
    `f + g`, `f - g`, `gain * f`, `f.at_rate(s)`. An expression keeps its parts; called on a signal, it runs
    as one pass with the folded taps or as a cascade with true decimation, whichever costs less. Gradients
    flow to every tap and every gain. The signal is zero outside its ends.

    Shape:
        f(x): (batch, time, channels) -> the same shape and dtype.

    Example:
        A two-band split that returns its input whatever its low-pass is:

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

    def __init__(self, node: nodes.Node) -> None:
        self.node = node

    # Constructors

    @staticmethod
    def identity() -> "PeriodicFIR":
        """The filter y[t] = x[t]."""
        return PeriodicFIR(nodes.Delay(0))

    @staticmethod
    def delay(delay: int) -> "PeriodicFIR":
        """The filter y[t] = x[t - delay]; a negative delay, in samples, looks ahead."""
        return PeriodicFIR(nodes.Delay(check_int("delay", delay)))

    @staticmethod
    def fir(weight: Tensor, offset: int = 0) -> "PeriodicFIR":
        """The filter y[t, c] = sum_k weight[t mod P, k, c] * x[t - k + offset, c].

        Args:
            weight: The taps, tap k at lag k - offset.
            offset: How many of them look ahead, in samples; any integer.

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
        return PeriodicFIR(nodes.Fir(Taps(weight, Pattern.full(weight.shape[0], lags))))

    @staticmethod
    def hold(factor: int) -> "PeriodicFIR":
        """Decimate, then hold: y[t] = x[factor * floor(t / factor)]."""
        check_int("factor", factor, least=1)
        identity = nodes.Delay(0)
        return PeriodicFIR(nodes.LowerRate(identity, factor, identity) if factor > 1 else identity)

    # Algebra

    @staticmethod
    def compose(*filters: "PeriodicFIR") -> "PeriodicFIR":
        """The product f @ g @ ... @ h: first h, ..., then g, then f.

        Dynamo, up to PyTorch 2.13 at least, traces neither `@` between objects that are no tensors nor a tensor
        times such an object. In a function that is to be compiled write this, and `fir(gain.reshape(1, -1))` for
        a gain; or build large filters in a `torch._dynamo.nonstrict_trace` function, as `Multirate` does.

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
        return PeriodicFIR(compose(self.node, other.node))

    def __add__(self, other: "PeriodicFIR") -> "PeriodicFIR":
        self._check_operand("+", other)
        return PeriodicFIR(nodes.Sum(self.node, other.node))

    def __sub__(self, other: "PeriodicFIR") -> "PeriodicFIR":
        self._check_operand("-", other)
        return PeriodicFIR(nodes.Sum(self.node, nodes.Scaled(other.node, -1.0)))

    def __neg__(self) -> "PeriodicFIR":
        return PeriodicFIR(nodes.Scaled(self.node, -1.0))

    def __mul__(self, gain: float | Tensor) -> "PeriodicFIR":
        """Scale by a number, a one-element tensor, or one gain a channel."""
        if isinstance(gain, Tensor):
            if gain.dim() > 1 and gain.numel() > 1:
                raise ValueError(f"gain must be a scalar or of shape (channels,), got {tuple(gain.shape)}")
            self._check_width("*", gain.numel())
        elif isinstance(gain, PeriodicFIR):
            raise TypeError("* scales by a number or a tensor; compose two filters with @")
        else:
            check_finite("gain", gain)
        return PeriodicFIR(nodes.Scaled(self.node, gain))

    __rmul__ = __mul__

    def at_rate(self, factor: int) -> "PeriodicFIR":
        """The same filter for a signal held by `factor`.

        w'[p, factor * k] = w[floor(p / factor) mod P, k], with period factor * P and offset factor * A, so
        that `f.at_rate(s) @ hold(s)` filters the decimated signal and holds the result.
        """
        check_int("factor", factor, least=1)
        if isinstance(self.node, nodes.Delay):
            return PeriodicFIR.delay(factor * self.node.delay)
        return self if factor == 1 else PeriodicFIR(nodes.AtRate(self.node, factor))

    def folded(self) -> "PeriodicFIR":
        """The same filter as one weight tensor, computed now: for inference with constant weights."""
        return PeriodicFIR(nodes.Fir(self._taps()))

    # What it is

    @property
    def period(self) -> int:
        """It commutes with time shifts by multiples of this many samples."""
        return self.node.pattern.period

    @property
    def taps(self) -> int:
        """The number of taps of the folded filter."""
        return len(self.node.pattern.lags)

    @property
    def lookahead(self) -> int:
        """The most future samples that an output may use; 0 if and only if causal by construction."""
        return self.node.pattern.lookahead

    @property
    def memory(self) -> int:
        """The most past samples that an output may use."""
        return self.node.pattern.memory

    @property
    def receptive_field(self) -> int:
        """The length of the stretch of input that an output may use: lookahead + 1 + memory."""
        return self.lookahead + 1 + self.memory

    @property
    def channels(self) -> int | None:
        """The width of its weights; None if it fits every width."""
        return None if self.node.channels == 1 else self.node.channels

    def impulse_response(self, phase: int = 0) -> Tensor:
        """The response to an impulse at a time of the given phase: see `response.impulse_response`."""
        return impulse_response(self._taps(), phase)

    def frequency_response(self, freq: int | Tensor = 512) -> FrequencyResponse:
        """The gains at each frequency and at its aliases: see `response.frequency_response`."""
        return frequency_response(self._taps(), freq)

    # What it does

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
        return nodes.evaluate(self.node, x, fold)

    def step(
        self, x: Tensor, state: FIRState | None = None, segment_ids: Tensor | None = None
    ) -> tuple[Tensor, FIRState]:
        """Filter the next chunk of a signal; chunk by chunk the result equals the filter of the whole.

        Args:
            x: The next samples of every row, any number of them.
            state: What the last call returned; None is at rest, at position 0. Rows may stand at different
                positions.
            segment_ids: Which signal of its row each sample belongs to, integers; the filter begins anew wherever the
                id changes. Negative ids are a signal like any other. None goes on with the present one.

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
        if segment_ids is None:
            return stream.step(self.node, x, state)
        ids = check_segment_ids(segment_ids, x)
        place = () if state is None else (state.position, state.segment)
        return stream.step(self.node, x, state, find_segments(ids, *place))

    def __repr__(self) -> str:
        return (
            f"PeriodicFIR(period={self.period}, taps={self.taps}, lookahead={self.lookahead}, "
            f"receptive_field={self.receptive_field})"
        )

    def _taps(self) -> Taps:
        parts = nodes.weights(self.node)
        dtype = reduce(torch.promote_types, (w.dtype for w in parts), torch.float32)
        like = torch.empty((), dtype=dtype, device=parts[0].device if parts else None)
        return nodes.Run(like).taps(self.node)

    def _check_operand(self, symbol: str, other: object) -> None:
        if not isinstance(other, PeriodicFIR):
            raise TypeError(
                f"{symbol} takes two PeriodicFIR, got {describe(other)}; make a filter of taps with "
                "PeriodicFIR.fir(taps), and scale with *"
            )
        self._check_width(symbol, other.node.channels)

    def _check_width(self, symbol: str, width: int) -> None:
        if 1 not in (width, self.node.channels) and width != self.node.channels:
            raise ValueError(
                f"{symbol} takes operands of equal width (or 1), got {self.node.channels} and {width}"
            )
