"""Layers under gates that oscillators open and close."""

from typing import Any

import torch
from torch import Tensor, nn

from dsptorch.functional.lfo_routing import gate_of
from dsptorch.functional.memo import Memo
from dsptorch.functional.timeline import Timeline
from dsptorch.functional.validate import check_finite, check_int
from dsptorch.hyperparams import (
    BoundedHyperparam,
    Hyperparam,
    check_hyperparam,
    current,
    fixed_repr,
    made_of,
    real_tensors,
)
from dsptorch.layers.base import Layer, call_layer
from dsptorch.layers.combinators import check_fades
from dsptorch.layers.lfo import HIGHEST, Oscillators

__all__ = ["Gated", "LFOGate", "RouteGates"]


class RouteGates(Oscillators):
    """The gates of `lfo_gate`, with their oscillators.

    Args:
        routes: The number of gates.
        num_lfos: The oscillators of each.
        max_freq: The highest frequency.
        device: The device of the parameters.
    """

    no_weight_decay = ("phase", "amplitude")

    def __init__(
        self, routes: int, num_lfos: int, max_freq: float, device: torch.device | str | None
    ) -> None:
        shape = (routes, num_lfos)
        with real_tensors():
            spread = 32 ** torch.linspace(0, 1, routes * num_lfos, dtype=torch.float32)
            first = max_freq / 64 * spread.reshape(shape)
        freq = BoundedHyperparam(first, 0.0, max_freq, device=device)
        super().__init__(freq, shape, "random", device)
        self.amplitude = nn.Parameter(self._parameter(shape, device))
        self.bias = nn.Parameter(self._parameter((routes,), device))
        self.set_first_values()

    def first_values(self) -> dict[str, Tensor]:
        """The phases, amplitudes of 1, and biases of 0."""
        amplitude, bias = torch.ones_like(self.amplitude), torch.zeros_like(self.bias)
        return {**super().first_values(), "amplitude": amplitude, "bias": bias}

    def forward(self, position: Tensor, temperature: float | Tensor) -> Tensor:
        """How far each gate is open: int64, (...) -> (..., routes), in [0, 1]."""
        return gate_of(self.waves(position), self.amplitude, self.bias, temperature)


class Gated(Layer):
    """What a layer under gates is made of; a subclass builds `gate`, and computes what the gates let through.

    Args:
        d_model: The width.
        routes: As of `LFOGate`.
        max_freq: As of `LFOGate`.
        residual_mix: As of `LFOGate`.
        gate_temperature: As of `LFOGate`.
        device: The device of the hyperparameters.
    """

    gate: RouteGates
    num_lfos: int

    def __init__(
        self,
        d_model: int,
        routes: int,
        max_freq: float,
        residual_mix: Hyperparam | None,
        gate_temperature: Hyperparam | None,
        device: torch.device | str | None,
    ) -> None:
        super().__init__(d_model)
        self.routes = check_int("routes", routes, least=1)
        self.max_freq = check_finite("max_freq", max_freq)
        if d_model % routes:
            raise ValueError(f"routes must divide d_model, got {routes} routes for a width of {d_model}")
        if not 0 < max_freq <= HIGHEST:
            raise ValueError(f"max_freq must be in (0, {HIGHEST}] cycles per sample, got {max_freq}")
        if residual_mix is None:
            residual_mix = BoundedHyperparam(0.35, 0.2, 0.5, device=device)
        if gate_temperature is None:
            gate_temperature = BoundedHyperparam(1.0, 0.5, 2.0, log=True, device=device)
        self.residual_mix = check_hyperparam("residual_mix", residual_mix, 0.0, 1.0)
        self.gate_temperature = check_hyperparam("gate_temperature", gate_temperature, 1e-3)
        self._constants = Memo()

    @property
    def period(self) -> None:
        """None: the gates follow the absolute position."""
        return None

    def through_gates(self, x: Tensor, y: Tensor, timeline: Timeline) -> Tensor:
        """The input, and what the gates let through of the output of a layer."""
        temperature, routed = self._constants(
            lambda: (current(self.gate_temperature), 1 - current(self.residual_mix)),
            made_of(self.gate_temperature, self.residual_mix),
        )
        gate = self.gate(timeline.positions(x), temperature)
        opened = (routed * gate).repeat_interleave(self.d_model // self.routes, -1)
        # residual_mix * x + (1 - residual_mix) * (gate * y + (1 - gate) * x)
        dtype = torch.promote_types(x.dtype, opened.dtype)
        return torch.lerp(x.to(dtype), y.to(dtype), opened.to(dtype)).to(x.dtype)

    def _gates_repr(self) -> str:
        fixed = fixed_repr(residual_mix=self.residual_mix, gate_temperature=self.gate_temperature)
        return f"routes={self.routes}, num_lfos={self.num_lfos}, max_freq={self.max_freq:g}{fixed}"


class LFOGate(Gated):
    """Fade each route of channels between the input and a layer's output, as low-frequency oscillators say.

        gate_r(t) = sigmoid((bias_r + sum_k amplitude_rk sin(2 pi (freq_rk t + phase_rk))) / gate_temperature)
        y         = residual_mix * x + (1 - residual_mix) * (gate * f(x) + (1 - gate) * x)

    The gate is a function of the absolute position t, so the layer commutes with no time shift: its period is None.

    Args:
        layer: f, which keeps rate and width; its output must not be late (delay 0).
        routes: How many groups the channels are split into, each with a gate; it divides d_model.
        num_lfos: Oscillators per route, at least 1.
        max_freq: The highest frequency in cycles per sample, in (0, 0.5].
        residual_mix: The share of the input, in [0, 1]. None: learned, 0.35 in [0.2, 0.5].
        gate_temperature: At least 0.001: small ones switch, large ones fade. None: learned, 1 in [0.5, 2], on a log
            scale.
        device: The device of the parameters.

    Attributes:
        gate: The oscillators: as of `LFORouting`.

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
        check_fades("LFOGate", layer)
        super().__init__(layer.d_model, routes, max_freq, residual_mix, gate_temperature, device)
        self.num_lfos = check_int("num_lfos", num_lfos, least=1)
        self.layer = layer
        self.grid, self.streams = layer.grid, layer.streams
        self.gate = RouteGates(routes, num_lfos, max_freq, device)

    @property
    def lookahead(self) -> int:
        """Samples of lookahead: those of the layer."""
        return self.layer.lookahead

    @property
    def receptive_field(self) -> int | None:
        """The receptive field of the layer."""
        return self.layer.receptive_field

    def process(self, x: Tensor, memory: Any, timeline: Timeline) -> tuple[Tensor, Any]:  # noqa: D102
        y, memory = call_layer(self.layer, x, memory, timeline)
        return self.through_gates(x, y, timeline), memory

    def extra_repr(self) -> str:  # noqa: D102
        return f"{self.d_model}, {self._gates_repr()}"
