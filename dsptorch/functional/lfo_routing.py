"""Routes: groups of channels, each with its own convolution over time and gated by oscillators."""

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor

from dsptorch.functional.dynamo import known_equal
from dsptorch.functional.oscillator import lfo_phase, sine


def lfo_gate(
    position: Tensor,
    freq: Tensor,
    phase: Tensor,
    amplitude: Tensor,
    bias: Tensor,
    temperature: float | Tensor,
) -> Tensor:
    """Compute the gate of each route from a sum of oscillators at an absolute position.

        gate_r(t) = sigmoid((bias_r + sum_k amplitude_rk * sin(2 pi (freq_rk * t + phase_rk))) / temperature)

    Args:
        position: Absolute time in samples, int64, any value.
        freq: Frequencies in cycles per sample.
        phase: Phases in cycles.
        amplitude: Amplitudes, linear, in units of the gate's logit.
        bias: The logit around which the gate oscillates.
        temperature: Above 0. A small temperature makes the gate switch, a large one makes it fade.

    Shape:
        position: (...). freq, phase, amplitude: (routes, num_lfos). bias: (routes,). Result: (..., routes),
        in the dtype of freq.

    Example:
        >>> route = torch.zeros(1, 1)
        >>> lfo_gate(torch.arange(4), route + 0.25, route, route + 1.0, torch.zeros(1), 1.0).flatten()
        tensor([0.5000, 0.7311, 0.5000, 0.2689])
    """
    return gate_of(sine(lfo_phase(freq, position[..., None, None], phase)), amplitude, bias, temperature)


def gate_of(waves: Tensor, amplitude: Tensor, bias: Tensor, temperature: float | Tensor) -> Tensor:
    """The gates of `lfo_gate` from the waves of the oscillators: (..., routes, num_lfos) -> (..., routes)."""
    return torch.sigmoid(((amplitude * waves).sum(-1) + bias) / temperature)


def grouped_conv(x: Tensor, weight: Tensor) -> Tensor:
    """Convolve over time and mix the channels within each group; only complete windows are computed.

        y[t, g, o] = sum_k sum_i  weight[g, k, i, o] * x[t + taps - 1 - k, g, i]

    Args:
        x: The signal, with taps - 1 more samples than the result.
        weight: One matrix per group and tap.

    Shape:
        x: (batch, time + taps - 1, groups * width). weight: (groups, taps, width, width).
        Result: (batch, time, groups * width).

    Example:
        >>> shift = torch.stack([torch.zeros(2, 2), torch.eye(2)]).unsqueeze(0)  # one group, two taps
        >>> grouped_conv(torch.arange(6.0).reshape(1, 3, 2), shift)
        tensor([[[0., 1.],
                 [2., 3.]]])
    """
    groups, taps = weight.shape[:2]
    time = x.shape[1] - taps + 1
    if known_equal(time, 1):
        windows = rearrange(x.flip(1), "b k (g i) -> g b (k i)", g=groups)
        return rearrange(torch.bmm(windows, weight.flatten(1, 2)), "g b o -> b 1 (g o)")
    return mix_groups([x[:, taps - 1 - k : taps - 1 - k + time] for k in range(taps)], weight)


def mix_groups(shifted: Sequence[Tensor], weight: Tensor) -> Tensor:
    """Mix the channels of each group by one matrix per group and tap, and sum over the taps.

        y[t, g, o] = sum_k sum_i  weight[g, k, i, o] * shifted[k][t, g, i]

    Args:
        shifted: The signal delayed for each tap.
        weight: One matrix per group and tap.

    Shape:
        shifted: one (batch, time, groups * width) for each tap. weight: (groups, taps, width, width).
        Result: (batch, time, groups * width).

    Example:
        >>> swap = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).reshape(1, 1, 2, 2)
        >>> mix_groups([torch.arange(4.0).reshape(1, 2, 2)], swap)
        tensor([[[1., 0.],
                 [3., 2.]]])
    """
    groups, _, width, _ = weight.shape
    windows = torch.cat([x.unflatten(2, (groups, width)) for x in shifted], -1)
    # One matrix product per group, (batch * time, taps * width) by (taps * width, width).
    return torch.einsum("btgi,gio->btgo", windows, weight.flatten(1, 2)).flatten(2)
