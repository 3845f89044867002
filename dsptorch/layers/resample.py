"""Layers that change the rate by an integer factor, with learned taps."""

from abc import abstractmethod
from collections.abc import Callable
from fractions import Fraction

import torch
from torch import Tensor, nn

from dsptorch.functional.filtering import latest, with_history
from dsptorch.functional.resample import resample
from dsptorch.functional.resample_design import decimate_taps, upsample_taps
from dsptorch.functional.timeline import Timeline
from dsptorch.functional.validate import check_int
from dsptorch.hyperparams import real_tensors
from dsptorch.layers.base import Layer


class Resampler(Layer):
    """Base class of causal layers that change the rate by up / down with one filter.

        y[n, c] = sum_k  h[(n M mod L) + k L, c] * x[floor(n M / L) - k, c],    rate = up / down = L / M

    Args:
        d_model: The width.
        up: Outputs per `down` inputs, L. `up` and `down` have no common factor.
        down: Inputs per `up` outputs, M.
        numtaps: The length of h.
        delay: The delay of the output in input samples.
    """

    def __init__(self, d_model: int, up: int, down: int, numtaps: int, delay: int | Fraction) -> None:
        super().__init__(d_model)
        self.rate, self.grid = Fraction(up, down), down
        self._reach = -(-numtaps // up)  # input samples that one output uses
        self._delay = delay

    @abstractmethod
    def taps(self) -> Tensor:
        """The filter h at `up` times the rate of the input: (numtaps,) or (numtaps, d_model)."""

    @property
    def lookahead(self) -> int:
        """0: an output uses no input after its own time."""
        return 0

    @property
    def delay(self) -> int | Fraction:
        """The declared delay in input samples."""
        return self._delay

    @property
    def period(self) -> int:
        """Period: the number of input samples of one block."""
        return self.grid

    @property
    def receptive_field(self) -> int:
        """Receptive field: the number of input samples that one output uses."""
        return self._reach

    def process(self, x: Tensor, memory: Tensor | None, timeline: Timeline) -> tuple[Tensor, Tensor]:  # noqa: D102
        kept, segments = self._reach - 1, timeline.segments
        seen = with_history(x, memory, kept)
        y = resample(
            seen,
            self.taps(),
            self.rate.numerator,
            self.rate.denominator,
            history=kept,
            phase=timeline.phase,
            position=None if segments is None else segments.position,
        )
        return y, latest(seen, kept, segments)


class _LearnedResampler(Resampler):
    """A resampler with learned taps, one filter for each channel."""

    no_weight_decay = ("weight",)

    def __init__(
        self,
        d_model: int,
        rate: Fraction,
        kernel_size: int | None,
        init: str | Tensor,
        design: Callable[[], Tensor],
        delay: int,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        with real_tensors():
            first = init.detach().clone() if isinstance(init, Tensor) else design()
            first = first.unsqueeze(-1) if first.dim() == 1 else first
        least = rate.numerator  # at least one tap for each output of an input
        if first.dim() != 2 or len(first) < least:
            raise ValueError(
                f"init must be at least {least} taps, got a tensor of shape {tuple(first.shape)}"
            )
        size = len(first) if kernel_size is None else check_int("kernel_size", kernel_size, least=1)
        if isinstance(init, Tensor) and init.shape not in ((size,), (size, d_model)):
            raise ValueError(
                f"init must be taps of shape (kernel_size,) or (kernel_size, d_model) = ({size}, {d_model}), got "
                f"{tuple(init.shape)}"
            )
        super().__init__(d_model, rate.numerator, rate.denominator, size, check_int("delay", delay, least=0))
        self.init, self._first = "taps" if isinstance(init, Tensor) else init, first
        self.weight = nn.Parameter(torch.empty(size, d_model, device=device, dtype=dtype))
        self.set_first_values()

    def first_values(self) -> dict[str, Tensor]:
        return {"weight": self._first}

    def taps(self) -> Tensor:
        """The current taps, (kernel_size, d_model)."""
        return self.weight

    def extra_repr(self) -> str:
        late = f", delay={self._delay}" if self._delay else ""
        factor = max(self.rate.numerator, self.rate.denominator)
        return f"{self.d_model}, {factor}, kernel_size={len(self.weight)}, init={self.init}{late}"


class Decimate(_LearnedResampler):
    """Filter each channel and keep every `factor`-th sample.

        y[n, c] = sum_k  weight[k, c] * x[factor * n - k, c]

    Output n stands at the time of input factor * n, so the layer is causal, and `Upsample` returns to the same times.

    Args:
        d_model: The width.
        factor: The decimation factor M, at least 1.
        kernel_size: The number of taps, at least 1. None takes 4 M for "lowpass" (1 if M is 1), M for "mean", and 1
            for "first".
        init: The initial taps, with unit gain at DC. "lowpass": a low-pass with cutoff 1 / M. "mean": the mean of the
            last samples. "first": only the sample at factor * n. Or a tensor of taps, (kernel_size,) or
            (kernel_size, d_model).
        delay: The declared delay of the output in input samples, at least 0, which `Parallel` and `Residual` use to
            align branches.
        device: The device of the taps.
        dtype: The dtype of the taps.

    Shape:
        (batch, time, d_model) -> (batch, ceil(time / factor), d_model), in the same dtype.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    Example:
        >>> layer = Decimate(1, 2, init="mean")
        >>> layer(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]).reshape(1, 5, 1)).flatten()
        tensor([0.5000, 2.5000, 4.5000], grad_fn=<ViewBackward0>)
        >>> layer.rate, layer.period
        (Fraction(1, 2), 2)

    References:
        P. P. Vaidyanathan, Multirate Systems and Filter Banks, 1993, sec. 4.1.1 (decimators).
    """

    def __init__(
        self,
        d_model: int,
        factor: int,
        kernel_size: int | None = None,
        *,
        init: str | Tensor = "lowpass",
        delay: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        def design() -> Tensor:
            return decimate_taps(str(init), factor, kernel_size, dtype=torch.float64)

        self.factor = check_int("factor", factor, least=1)
        super().__init__(d_model, Fraction(1, factor), kernel_size, init, design, delay, device, dtype)


class Upsample(_LearnedResampler):
    """Raise the rate by `factor`, with one filter for each of the outputs of an input sample.

        y[M n + p, c] = sum_k  weight[p + M k, c] * x[n - k, c],    M = factor

    Args:
        d_model: The width.
        factor: The factor M, at least 1.
        kernel_size: The number of taps, at least M. None takes M for "hold", 2 M for "linear" and 4 M for "lowpass".
        init: The initial taps; with each choice, a constant input gives a constant output. "hold": repeat each sample.
            "linear": interpolate from the previous sample to this one, which is one input sample late. "lowpass": a
            low-pass with cutoff 1 / M. Or a tensor of taps, (kernel_size,) or (kernel_size, d_model).
        delay: The declared delay of the output in input samples, at least 0. None takes 1 for "linear" and 0 otherwise.
        device: The device of the taps.
        dtype: The dtype of the taps.

    Shape:
        (batch, time, d_model) -> (batch, time * factor, d_model), in the same dtype.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    Example:
        >>> x = torch.tensor([1.0, 3.0]).reshape(1, 2, 1)
        >>> Upsample(1, 2)(x).flatten()
        tensor([1., 1., 3., 3.], grad_fn=<ViewBackward0>)
        >>> Upsample(1, 2, init="linear")(x).flatten()
        tensor([0.0000, 0.5000, 1.0000, 2.0000], grad_fn=<ViewBackward0>)

    References:
        P. P. Vaidyanathan, Multirate Systems and Filter Banks, 1993, sec. 4.1.1 (expanders and interpolation).
    """

    def __init__(
        self,
        d_model: int,
        factor: int,
        kernel_size: int | None = None,
        *,
        init: str | Tensor = "hold",
        delay: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        def design() -> Tensor:
            return upsample_taps(str(init), factor, kernel_size, dtype=torch.float64)

        self.factor = check_int("factor", factor, least=1)
        if delay is None:
            delay = 1 if isinstance(init, str) and init == "linear" else 0
        super().__init__(d_model, Fraction(factor), kernel_size, init, design, delay, device, dtype)
