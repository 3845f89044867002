"""A layer gated by oscillators."""

from typing import Any

import torch
from torch import Tensor

from dsptorch.functional.timeline import Timeline
from dsptorch.functional.validate import check_int
from dsptorch.hyperparams import Hyperparam
from dsptorch.layers.base import Layer, call_layer
from dsptorch.layers.combinators import check_keeps
from dsptorch.layers.fir import Delay
from dsptorch.layers.gated import Gated, RouteGates

__all__ = ["LFOGate"]


class LFOGate(Gated):
    """Fade each group of channels (route) between the input and a layer's output, controlled by oscillators.

        gate_r(t) = sigmoid((bias_r + sum_k amplitude_rk sin(2 pi (freq_rk t + phase_rk))) / gate_temperature)
        y         = residual_mix * x + (1 - residual_mix) * (gate * f(x) + (1 - gate) * x)

    The gate is a function of the absolute position t, so the layer has no period: its period is None.

    Args:
        layer: The layer f, which keeps rate and width. If it declares a delay (a whole number), x is delayed by it.
        routes: Number of groups of channels, each with a gate; it divides d_model.
        num_lfos: Oscillators per route, at least 1.
        max_freq: The highest frequency in cycles per sample, in (0, 0.5].
        residual_mix: The share of the input, in [0, 1]. None is learned, from 0.35 in [0.2, 0.5].
        gate_temperature: At least 0.001. Small temperatures switch, large ones fade. None is learned, from 1 in
            [0.5, 2], on a logarithmic scale.
        device: The device of the parameters.

    Attributes:
        gate: The oscillators; see `LFORouting`.

    Shape:
        (batch, time, d_model) -> the same shape and dtype.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    Example:
        >>> from dsptorch import EMA, LFOGate
        >>> layer = LFOGate(EMA(8, half_life=4.0), routes=2)
        >>> y, state = layer.step(torch.randn(2, 10, 8))
        >>> state.position
        tensor([10, 10])

    References:
        E. Yifee, Adaptive Frequency-Domain DSP for Language Model Training, 2025, LFO-Based Temporal Routing.
    """

    def __init__(
        self,
        layer: Layer,
        routes: int = 4,
        *,
        num_lfos: int = 2,
        max_freq: float = 0.1,
        residual_mix: Hyperparam | None = None,
        gate_temperature: Hyperparam | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        check_keeps("LFOGate", layer)
        if not isinstance(layer.delay, int):
            raise ValueError(
                f"LFOGate delays the input to a layer's output by whole samples, got delay={layer.delay}; choose a "
                "filter whose delay is a whole number"
            )
        super().__init__(layer.d_model, routes, max_freq, residual_mix, gate_temperature, device)
        self.num_lfos = check_int("num_lfos", num_lfos, least=1)
        self.layer = layer
        self.dry = Delay(layer.d_model, layer.delay) if layer.delay else None
        self.grid, self.streams = layer.grid, layer.streams
        self.gate = RouteGates(routes, num_lfos, max_freq, device)

    @property
    def lookahead(self) -> int:
        """Lookahead in samples: that of the layer."""
        return self.layer.lookahead

    @property
    def delay(self) -> int:
        """Delay in samples: that of the layer."""
        return 0 if self.dry is None else self.dry.delay

    @property
    def receptive_field(self) -> int | None:
        """The receptive field of the layer and of the delayed input together."""
        field = self.layer.receptive_field
        return None if field is None else max(field, self.delay + 1 + self.lookahead)

    def process(self, x: Tensor, memory: Any, timeline: Timeline) -> tuple[Tensor, Any]:  # noqa: D102
        if self.dry is None:
            y, memory = call_layer(self.layer, x, memory, timeline)
            return self.through_gates(x, y, timeline), memory
        before, kept = (None, None) if memory is None else memory
        y, before = call_layer(self.layer, x, before, timeline)
        x, kept = call_layer(self.dry, x, kept, timeline)
        return self.through_gates(x, y, timeline), (before, kept)

    def extra_repr(self) -> str:  # noqa: D102
        return f"{self.d_model}, {self._gates_repr()}"
