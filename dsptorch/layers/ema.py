"""Exponential moving averages: one for each channel, or a bank of them."""

from collections.abc import Callable

import torch
from torch import Tensor

from dsptorch.functional.recurrence import recur
from dsptorch.functional.timeline import Timeline
from dsptorch.functional.validate import check_bool, check_int
from dsptorch.hyperparams import Spread, at_least_float32, check_spread, current, fixed_repr
from dsptorch.layers.base import Layer

SHORTEST, LONGEST = 0.1, 65536.0
"""Half-lives in samples. Of a longer one the pole could not be told from 1 well in float32."""


class _Averages(Layer):
    """Exponential moving averages of all but the first `kept` channels of a signal.

    Args:
        d_model: The width of the input.
        num: Number of averages of each channel. None for one, with the half-lives of a pair spread over the channels.
        kept: Number of channels that pass unchanged.
        half_life: See `EMA`.
        warm: See `EMA`.
        start: See `EMA`.
        device: The device of the half-lives.
    """

    def __init__(
        self,
        d_model: int,
        num: int | None,
        kept: int,
        half_life: Spread,
        warm: bool,
        start: str,
        device: torch.device | str | None,
    ) -> None:
        super().__init__(d_model, d_model if num is None else check_int("num", num, least=1) * d_model)
        if start not in ("zero", "first"):
            raise ValueError(f"start must be 'zero' or 'first', got {start!r}")
        if check_bool("warm", warm) and start == "first":
            raise ValueError("warm=True weighs the samples since a start at zero; leave out start='first'")
        self.kept, self.warm, self.start = kept, check_bool("warm", warm), start
        width, repeats = (d_model - kept, 1) if num is None else (num, d_model)
        self.half_life = check_spread(
            "half_life", half_life, SHORTEST, LONGEST, width=width, repeats=repeats, device=device
        )

    lookahead = 0
    receptive_field = None

    @property
    def period(self) -> int | None:
        """1, because a shift of the input shifts the output; None if the first samples are weighted differently."""
        return None if self.warm or self.start == "first" else 1

    def averages(self, x: Tensor, memory: Tensor | None, timeline: Timeline) -> tuple[Tensor, Tensor]:
        """The averages of every channel, and the last averages with a start at zero, for the next chunk."""
        a = self._decay(x)
        gain, u = 1 - a, x  # exact, and so the gain at DC is 1 whatever a was rounded to
        if self.start == "first":
            u = torch.where(timeline.positions(x).unsqueeze(-1) == 0, x.to(a.dtype) / gain, x.to(a.dtype))
        begins = None if timeline.segments is None else timeline.segments.position == 0
        narrow = not self.warm and u.dtype == x.dtype
        y, memory = recur(u, a, memory, begins, gain.expand(x.shape[-1]), narrow=narrow)
        if self.warm:
            seen = (timeline.positions(x) + 1).unsqueeze(-1).to(a.dtype)
            y = y / -torch.expm1(seen * torch.log1p(-gain))
        return y.to(x.dtype), memory

    def _decay(self, x: Tensor) -> Tensor:
        """The pole of each channel, 2^(-1 / half_life)."""
        dtype = torch.promote_types(x.dtype, torch.float32)
        half_life = current(self.half_life)
        if not isinstance(half_life, Tensor):
            half_life = torch.full((), half_life, dtype=dtype, device=x.device)
        return torch.exp2(-1 / half_life.to(dtype))

    def extra_repr(self) -> str:
        options = f"{', warm=True' if self.warm else ''}{', start=first' if self.start == 'first' else ''}"
        return f"{self.d_model}{self._bank_repr()}{fixed_repr(half_life=self.half_life)}{options}"

    def _bank_repr(self) -> str:
        return ""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "_Averages":
        super()._apply(at_least_float32(fn), recurse)  # type: ignore[no-untyped-call]
        return self


class EMA(_Averages):
    """Average each channel over the past, with weights that halve every `half_life` samples.

        y[t] = a y[t-1] + (1 - a) x[t],   a = 2 ** (-1 / half_life)

    The gain at DC is 1, and no output exceeds the greatest input.

    Args:
        d_model: The width.
        half_life: Half-life in samples, in [0.1, 65536]. A number is fixed and the same for all channels. A
            `BoundedHyperparam` is learned, with one value for all channels or one for each. With a pair, the first half
            of the channels pass unchanged, and the others get learned half-lives within the pair, which start spread
            over it on a logarithmic scale.
        warm: Whether to divide by the sum of the weights so far, 1 - a ** (t + 1). y[t] is then the weighted mean of
            the samples seen so far, from the first sample on.
        start: The value of y[-1]: "zero", or "first" for x[0], so that y[0] = x[0].
        device: The device of the half-lives.
        dtype: Accepted as in every layer. The half-lives are float32 for any dtype, and the state is float32 at least.

    Shape:
        (batch, time, d_model) -> the same shape and dtype.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    Example:
        >>> layer = EMA(1, half_life=1.0)
        >>> layer(torch.tensor([8.0, 0.0, 0.0, 8.0]).reshape(1, 4, 1)).flatten()
        tensor([4.0000, 2.0000, 1.0000, 4.5000])
        >>> EMA(6, half_life=(1, 64)).half_life.value
        tensor([ 2.,  8., 32.])

    References:
        A. V. Oppenheim and R. W. Schafer, Discrete-Time Signal Processing, 3rd ed., 2010, sec. 2.5 (linear
        constant-coefficient difference equations); D. P. Kingma and J. Ba, Adam, 2015, sec. 3 (the division that `warm`
        makes).
    """

    def __init__(
        self,
        d_model: int,
        half_life: Spread = (1.0, 64.0),
        *,
        warm: bool = False,
        start: str = "zero",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        kept = check_int("d_model", d_model, least=1) // 2 if isinstance(half_life, (tuple, list)) else 0
        super().__init__(d_model, None, kept, half_life, warm, start, device)

    def process(self, x: Tensor, memory: Tensor | None, timeline: Timeline) -> tuple[Tensor, Tensor]:  # noqa: D102
        if not self.kept:
            return self.averages(x, memory, timeline)
        unchanged, moving = x.split([self.kept, self.d_model - self.kept], -1)
        y, memory = self.averages(moving, memory, timeline)
        return torch.cat([unchanged, y], -1), memory


class EMABank(_Averages):
    """Average each channel with `num` half-lives: the same input through several EMAs.

        y[t, j * d_model + c] = a_jc y[t-1, j * d_model + c] + (1 - a_jc) x[t, c],   a_jc = 2 ** (-1 / half_life_jc)

    Args:
        d_model: The width of the input.
        num: Number of averages of each channel, at least 1.
        half_life: Half-life in samples, in [0.1, 65536]. A pair gives learned half-lives within the pair, one for each
            channel of each average, which start spread over it on a logarithmic scale, the same in all channels. A
            `BoundedHyperparam` of num * d_model values is learned too. A number is fixed, and makes all averages equal.
        warm: See `EMA`.
        start: See `EMA`.
        device: The device of the half-lives.
        dtype: Accepted as in every layer. The half-lives are float32 for any dtype, and the state is float32 at least.

    Shape:
        (batch, time, d_model) -> (batch, time, num * d_model), in the same dtype. `y.unflatten(-1, (num, d_model))`
        separates the averages.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    Example:
        >>> bank = EMABank(2, 3)
        >>> bank(torch.ones(1, 5, 2)).shape
        torch.Size([1, 5, 6])
        >>> bank.half_life.value
        tensor([ 2.,  2.,  8.,  8., 32., 32.])
    """

    def __init__(
        self,
        d_model: int,
        num: int,
        half_life: Spread = (1.0, 64.0),
        *,
        warm: bool = False,
        start: str = "zero",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(check_int("d_model", d_model, least=1), num, 0, half_life, warm, start, device)
        self.num = num

    def process(self, x: Tensor, memory: Tensor | None, timeline: Timeline) -> tuple[Tensor, Tensor]:  # noqa: D102
        return self.averages(x.repeat(1, 1, self.num), memory, timeline)

    def _bank_repr(self) -> str:
        return f", num={self.num}"
