"""A learned FIR filter for each channel, and a fixed delay."""

import torch
from torch import Tensor, nn

from dsptorch.functional.design import firwin
from dsptorch.functional.plan import Literal, Shift, Slot
from dsptorch.functional.support import Support
from dsptorch.functional.validate import check_bool, check_finite, check_int, has_values
from dsptorch.hyperparams import real_tensors
from dsptorch.layers.base import FilterLayer

_INITS = ("identity", "lowpass", "delays")


class FIR(FilterLayer):
    """Filter each channel with its own learned taps.

        y[t, c] = sum_k  weight[k, c] * x[t - k + offset, c]          offset = 0 if causal, else kernel_size // 2

    Args:
        d_model: The width.
        kernel_size: The number of taps, at least 1.
        init: The initial taps. "identity": y = x. "lowpass": a low-pass of unit gain at DC with the given
            `cutoff`. "delays": a bank of delays; half of the channels have delay 0, the others are spread evenly over 1
            to kernel_size - 1, so that the next layer sees samples of different times. Or a tensor of taps,
            (kernel_size, d_model).
        cutoff: The cutoff of "lowpass" in units of Nyquist, in (0, 1).
        delay: The declared delay of the output in samples, at least 0, which `Parallel` and `Residual` use to align
            branches. (A symmetric causal filter of n taps has the delay (n - 1) / 2.)
        causal: False centres the filter, which then looks ahead by kernel_size // 2.
        device: The device of the taps.
        dtype: The dtype of the taps.

    Shape:
        (batch, time, d_model) -> the same shape and dtype.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    Example:
        >>> layer = FIR(4, kernel_size=3, init="delays")
        >>> layer(torch.tensor([1.0, 2.0, 3.0, 4.0]).reshape(1, 4, 1).expand(1, 4, 4))[0]
        tensor([[1., 1., 0., 0.],
                [2., 2., 1., 0.],
                [3., 3., 2., 1.],
                [4., 4., 3., 2.]], grad_fn=<SelectBackward0>)

    References:
        A. V. Oppenheim and R. W. Schafer, Discrete-Time Signal Processing, 3rd ed., 2010, ch. 7 (FIR design
        by windowing).
    """

    no_weight_decay = ("weight",)

    def __init__(
        self,
        d_model: int,
        kernel_size: int = 4,
        *,
        init: str | Tensor = "identity",
        cutoff: float = 0.5,
        delay: int = 0,
        causal: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_int("kernel_size", kernel_size, least=1)
        first = 0 if check_bool("causal", causal) else -(kernel_size // 2)
        lags = tuple(range(first, first + kernel_size))
        super().__init__(d_model, Literal(Slot(0), Support.full(1, lags), d_model))
        self.kernel_size, self.causal = kernel_size, causal
        self._delay = check_int("delay", delay, least=0)
        self._cutoff = check_finite("cutoff", cutoff)
        if isinstance(init, Tensor):
            if init.shape != (kernel_size, d_model):
                raise ValueError(
                    f"init must be of shape (kernel_size, d_model) = ({kernel_size}, {d_model}), "
                    f"got {tuple(init.shape)}"
                )
            with real_tensors():
                init = init.detach().clone()
                if has_values(init) and not torch.isfinite(init).all():
                    raise ValueError("init must be finite, got taps with NaN or infinity")
        elif init not in _INITS:
            raise ValueError(f"init must be one of {', '.join(_INITS)}, or a tensor of taps, got {init!r}")
        elif init == "delays" and not causal:
            raise ValueError("init='delays' is a causal bank; give causal=True, or a tensor of taps as init")
        self._init = init
        self.weight = nn.Parameter(torch.empty(kernel_size, d_model, device=device, dtype=dtype))
        self.set_first_values()

    def first_values(self) -> dict[str, Tensor]:  # noqa: D102
        return {"weight": self._first_taps()}

    def _first_taps(self) -> Tensor:
        if isinstance(self._init, Tensor):
            return self._init
        if self._init == "lowpass":
            return firwin(self.kernel_size, self._cutoff).unsqueeze(-1)
        lags = torch.zeros(self.d_model, dtype=torch.int64)
        if self._init == "delays" and self.kernel_size > 1:
            moved = self.d_model // 2
            lags[self.d_model - moved :] = 1 + torch.arange(moved) * (self.kernel_size - 1) // max(moved, 1)
        taps = torch.arange(self.kernel_size).unsqueeze(-1) == lags + self._offset
        return taps.float()

    @property
    def _offset(self) -> int:
        return 0 if self.causal else self.kernel_size // 2

    @property
    def delay(self) -> int:
        """The declared delay in samples."""
        return self._delay

    def weights(self) -> tuple[Tensor]:
        """The taps."""
        return (self.weight,)

    def extra_repr(self) -> str:  # noqa: D102
        init = "taps" if isinstance(self._init, Tensor) else self._init
        late = f", delay={self._delay}" if self._delay else ""
        return f"{self.d_model}, kernel_size={self.kernel_size}, init={init}{late}, causal={self.causal}"


class Delay(FilterLayer):
    """Delay every channel: y[t] = x[t - delay], zero before the start.

    Args:
        d_model: The width.
        delay: The delay in samples, at least 0.

    Shape:
        (batch, time, d_model) -> the same shape and dtype.

    Example:
        >>> Delay(1, 2)(torch.tensor([1.0, 2.0, 3.0]).reshape(1, 3, 1)).flatten()
        tensor([0., 0., 1.])
    """

    def __init__(self, d_model: int, delay: int) -> None:
        super().__init__(d_model, Shift(check_int("delay", delay, least=0)))
        self._delay = delay

    @property
    def delay(self) -> int:
        """The delay in samples."""
        return self._delay

    def weights(self) -> tuple[()]:
        """An empty tuple: the layer has no weights."""
        return ()

    def extra_repr(self) -> str:  # noqa: D102
        return f"{self.d_model}, delay={self._delay}"
