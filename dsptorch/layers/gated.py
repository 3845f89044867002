"""The common base of layers gated by oscillators."""

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
from dsptorch.layers.base import Layer
from dsptorch.layers.lfo import HIGHEST, Oscillators

__all__ = ["Gated", "RouteGates"]


class RouteGates(Oscillators):
    """The gates of `lfo_gate`, with their oscillators.

    Args:
        routes: The number of gates.
        num_lfos: Number of oscillators of each gate.
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
        """The initial phases, amplitudes of 1, and biases of 0."""
        amplitude, bias = torch.ones_like(self.amplitude), torch.zeros_like(self.bias)
        return {**super().first_values(), "amplitude": amplitude, "bias": bias}

    def forward(self, position: Tensor, temperature: float | Tensor) -> Tensor:
        """Return the opening of each gate in [0, 1]: int64, (...) -> (..., routes)."""
        return gate_of(self.waves(position), self.amplitude, self.bias, temperature)


class Gated(Layer):
    """Base class of gated layers. A subclass builds `gate` and computes the signal to be gated.

    Args:
        d_model: The width.
        routes: See `LFOGate`.
        max_freq: See `LFOGate`.
        residual_mix: See `LFOGate`.
        gate_temperature: See `LFOGate`.
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
        """None, because the gates depend on the absolute position."""
        return None

    def through_gates(self, x: Tensor, y: Tensor, timeline: Timeline) -> Tensor:
        """Mix the input with the gated output of a layer."""
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
