"""The responses of a periodic filter to an impulse and to a tone."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from dsptorch.functional.support import Support


class FrequencyResponse(NamedTuple):
    """The response of a periodic filter to tones.

    Attributes:
        freq: The frequencies of the input, in cycles per sample: (frequencies,).
        response: The complex gain to each alias: (period, frequencies, channels). An input tone at f gives output
            tones at f + m / period with the gains response[m]. Row 0 is the frequency response of the filter. The
            other rows are its alias terms, which are zero for a time-invariant filter.
    """

    freq: Tensor
    response: Tensor


def impulse_response(weight: Tensor, support: Support, phase: int = 0) -> Tensor:
    """The output around an impulse at a time t0 that has the given phase.

        h[n] = y[t0 - lookahead + n],  x[t] = 1 if t = t0 else 0,  t0 mod P = phase

    Args:
        weight: The taps, (period, lags, channels).
        support: The lags of the taps.
        phase: The phase of the impulse's time, any integer.

    Shape:
        (lookahead + 1 + memory, channels); the impulse's own time is at index `lookahead`.
    """
    rows = []
    for lag in range(-support.lookahead, support.memory + 1):
        if lag in support.lags:
            rows.append(weight[(phase + lag) % support.period, support.lags.index(lag)])
        else:
            rows.append(torch.zeros_like(weight[0, 0]))
    return torch.stack(rows)


def frequency_response(weight: Tensor, support: Support, freq: int | Tensor = 512) -> FrequencyResponse:
    """The gain from an input tone at f to output tones at f and at its aliases.

        H[m](f) = 1/P sum_p exp(-2 pi i m p / P) sum_k w[p, k] exp(-2 pi i f lag_k)

    Args:
        weight: The taps, (period, lags, channels).
        support: The lags of the taps.
        freq: The frequencies in cycles per sample, or their number, evenly spaced over [0, 0.5).

    Returns:
        The frequencies, (F,), and the response, (P, F, channels).

    References:
        P. P. Vaidyanathan, Multirate Systems and Filter Banks, 1993, sec. 10.1.
    """
    if isinstance(freq, int):
        if freq < 1:
            raise ValueError(f"freq must be at least 1 frequency, or a tensor of them, got {freq}")
        freq = torch.arange(freq, dtype=weight.dtype, device=weight.device) * (0.5 / freq)
    dtype = torch.promote_types(freq.dtype, weight.dtype)
    lags = torch.tensor(support.lags, dtype=dtype, device=freq.device)
    angle = -2 * math.pi * torch.outer(freq.to(dtype), lags)
    tones = torch.polar(torch.ones_like(angle), angle)  # (F, taps)
    of_phase = torch.einsum("fk,pkc->pfc", tones, weight.to(tones.dtype))
    return FrequencyResponse(freq, torch.fft.fft(of_phase, dim=0) / support.period)
