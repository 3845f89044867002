"""LFO routing: convolutions within groups of channels, gated by oscillators."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsptorch.functional.filtering import latest, with_history
from dsptorch.functional.kernel import earlier, lptv_filter
from dsptorch.functional.lfo_routing import grouped_conv, mix_groups
from dsptorch.functional.timeline import Segments, Timeline
from dsptorch.functional.validate import check_bool, check_int
from dsptorch.hyperparams import Hyperparam
from dsptorch.layers.gated import Gated, RouteGates


class LFORouting(Gated):
    """Convolve each group of channels (route) over time, through a gate controlled by oscillators.

        gate_r(t) = sigmoid((bias_r + sum_k amplitude_rk sin(2 pi (freq_rk t + phase_rk))) / gate_temperature)
        routed    = gate * conv(x) + (1 - gate) * x
        y         = residual_mix * x + (1 - residual_mix) * routed

    It is an `LFOGate` around a convolution within each route. The gate is a function of the absolute position t, which
    the state keeps, so the layer has no period: its period is None.

    Args:
        d_model: The width.
        routes: Number of groups of channels; it divides d_model.
        num_lfos: Oscillators per route, at least 1.
        kernel_size: Number of taps of the convolution over time, at least 1.
        max_freq: The highest frequency in cycles per sample, in (0, 0.5].
        residual_mix: The share of the input, in [0, 1]. None is learned, from 0.35 in [0.2, 0.5].
        gate_temperature: At least 0.001. None is learned, from 1 in [0.5, 2], on a logarithmic scale.
        depthwise: True filters each channel separately instead of mixing the channels of a route.
        causal: False centres the convolution, which then looks ahead by kernel_size // 2.
        device: The device of the parameters.
        dtype: The dtype of the convolution. The oscillators are float32 at least.

    Attributes:
        weight: (routes, kernel_size, width, width), or (kernel_size, d_model) if depthwise.
        gate.freq: A BoundedHyperparam of shape (routes, num_lfos), initially spread geometrically over
            max_freq / 64 to max_freq / 2.
        gate.phase, gate.amplitude: (routes, num_lfos), initially random in [0, 1) cycles, and 1.
        gate.bias: (routes,), initially 0.

    Shape:
        (batch, time, d_model) -> the same shape and dtype.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    Example:
        >>> layer = LFORouting(64, routes=4)
        >>> y, state = layer.step(torch.randn(2, 10, 64))
        >>> state.position
        tensor([10, 10])

    References:
        E. Yifee, Adaptive Frequency-Domain DSP for Language Model Training, 2025, LFO-Based Temporal Routing.
    """

    def __init__(
        self,
        d_model: int,
        routes: int = 4,
        *,
        num_lfos: int = 2,
        kernel_size: int = 3,
        max_freq: float = 0.1,
        residual_mix: Hyperparam | None = None,
        gate_temperature: Hyperparam | None = None,
        depthwise: bool = False,
        causal: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(d_model, routes, max_freq, residual_mix, gate_temperature, device)
        self.num_lfos = check_int("num_lfos", num_lfos, least=1)
        self.kernel_size = check_int("kernel_size", kernel_size, least=1)
        self.depthwise, self.causal = check_bool("depthwise", depthwise), check_bool("causal", causal)
        self.no_weight_decay = ("weight",) if depthwise else ()  # taps get no weight decay, matrices do

        width = d_model // routes
        shape = (kernel_size, d_model) if depthwise else (routes, kernel_size, width, width)
        self.weight = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
        self.set_first_values()
        self.gate = RouteGates(routes, num_lfos, max_freq, device)

    def first_values(self) -> dict[str, Tensor]:
        """The initial convolution, drawn as in `nn.Conv1d`."""
        inputs = self.kernel_size * (1 if self.depthwise else self.d_model // self.routes)
        return {"weight": torch.empty_like(self.weight).uniform_(-(inputs**-0.5), inputs**-0.5)}

    @property
    def lookahead(self) -> int:
        """0, or kernel_size // 2 if not causal."""
        return 0 if self.causal else self.kernel_size // 2

    @property
    def receptive_field(self) -> int:
        """Receptive field: the number of taps of the convolution."""
        return self.kernel_size

    def process(self, x: Tensor, memory: Tensor | None, timeline: Timeline) -> tuple[Tensor, Tensor]:  # noqa: D102
        kept = self.kernel_size - 1
        seen = with_history(x, memory, kept)
        y = self.through_gates(x, self._convolved(seen, timeline.segments), timeline)
        return y, latest(seen, kept, timeline.segments)

    def _convolved(self, seen: Tensor, segments: Segments | None) -> Tensor:
        """The convolution at all samples but the first kernel_size - 1."""
        kept = self.kernel_size - 1
        lags = range(-self.lookahead, self.kernel_size - self.lookahead)
        if self.depthwise:
            return lptv_filter(seen, self.weight.unsqueeze(0), lags, history=kept, segments=segments)
        weight = self.weight.to(seen.dtype)
        if segments is not None:
            return mix_groups([earlier(seen, lag, segments) for lag in lags], weight)
        if self.lookahead:
            seen = F.pad(seen, (0, 0, 0, self.lookahead))[:, self.lookahead :]
        return grouped_conv(seen, weight)

    def extra_repr(self) -> str:  # noqa: D102
        return (
            f"{self.d_model}, {self._gates_repr()}, kernel_size={self.kernel_size}, depthwise={self.depthwise}, "
            f"causal={self.causal}"
        )
