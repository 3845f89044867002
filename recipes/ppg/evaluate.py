"""The error of a forecast on a part of the recording, and three ways to run a model over it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dsptorch import streaming

from .data import Recording

CONTEXT = 256  # samples that a model has seen before its first forecast counts: the longest memory of any arm
WINDOW = 640  # samples of a training window; the last 384 count
CHUNK = 100  # samples, about a second

Forecast = Callable[[Tensor], Tensor]  # (time,) -> (time,): at each sample, the forecast for `horizon` later


class Errors(NamedTuple):
    """Errors in counts: root mean square, and mean absolute."""

    rmse: float
    mae: float


def errors(forecast: Forecast, recording: Recording, part: str, *, horizon: int) -> Errors:
    """Return the errors over all samples of a part; a forecast may begin to look CONTEXT samples before its first."""
    start, end = recording.parts[part]
    begin = max(0, start - horizon - CONTEXT)
    made = forecast(recording.signal[begin : end - horizon])[CONTEXT:]
    wrong = recording.scale * (made - recording.signal[begin + CONTEXT + horizon : end]).double()
    return Errors(wrong.square().mean().sqrt().item(), wrong.abs().mean().item())


def rmse(forecast: Forecast, recording: Recording, part: str, *, horizon: int) -> float:
    """Return the root mean square error over a part, in counts."""
    return errors(forecast, recording, part, horizon=horizon).rmse


@torch.no_grad()
def at_once(model: nn.Module, signal: Tensor) -> Tensor:
    """Run a model over a whole signal: (time,) -> (time,)."""
    y: Tensor = model(signal[None, :, None])
    return y[0, :, 0]


def in_chunks(model: nn.Module, signal: Tensor) -> Tensor:
    """Run a model as a device would, as the samples come in, CHUNK by CHUNK: (time,) -> (time,)."""
    with streaming(model):
        return torch.cat([at_once(model, chunk) for chunk in signal.split(CHUNK)])


def in_windows(model: nn.Module, signal: Tensor) -> Tensor:
    """Run a model from rest over windows as long as those it was trained on: (time,) -> (time,).

    Every window begins CONTEXT samples before the first forecast that is kept of it. What follows the samples alone
    gives the numbers of `at_once`; what follows the position does not.
    """
    starts = range(WINDOW - CONTEXT, len(signal) - CONTEXT, WINDOW - CONTEXT)
    windows = [at_once(model, signal[i : i + WINDOW])[CONTEXT:] for i in starts]
    return torch.cat([at_once(model, signal[:WINDOW]), *windows])


def memory(model: nn.Module) -> int:
    """Measure the receptive field: how many samples, the present one with them, any of 16 outputs depends on."""
    times = range(2 * CONTEXT, 2 * CONTEXT + 16)  # phases of what is periodic
    x = torch.randn(1, times.stop, 1, generator=torch.Generator().manual_seed(0)).requires_grad_()
    y = model(x)
    gradients = (torch.autograd.grad(y[0, t, 0], x, retain_graph=True)[0] for t in times)
    return max(t + 1 - int(g[0, :, 0].nonzero()[0]) for t, g in zip(times, gradients, strict=True))


def ways(model: nn.Module) -> dict[str, Forecast]:
    """Return the model's forecasts in the three ways."""
    return {f.__name__: partial(f, model) for f in (at_once, in_chunks, in_windows)}
