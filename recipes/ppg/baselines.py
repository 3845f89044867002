"""What every forecast is first compared with: no model at all, and a linear one by least squares."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from .data import Recording
from .evaluate import CONTEXT, Forecast, rmse

ORDERS = (16, 32, 64, 128, 256)


def last_value(signal: Tensor, *, lag: int) -> Tensor:
    """Return the value `lag` samples ago: (time,) -> (time,)."""
    return F.pad(signal, (lag, 0))[: len(signal)]


def beat(recording: Recording, *, horizon: int) -> int:
    """Return the lag of the strongest autocorrelation of the training part, within 2 s from `horizon`, in samples."""
    x = recording.signal[: recording.train_end].double()
    return max(range(horizon, horizon + 200), key=lambda lag: (x[lag:] * x[:-lag]).sum().item())


def fit_autoregression(signal: Tensor, *, order: int, horizon: int) -> Tensor:
    """Return the least-squares taps, and the constant, of x[t + horizon] in x[t] ... x[t - order + 1]: (order + 1,)."""
    rows = _lags(signal[:-horizon], order)  # (time - horizon, order + 1)
    solution: Tensor = torch.linalg.lstsq(
        rows[order - 1 :], signal[horizon + order - 1 :, None].double()
    ).solution
    return solution.flatten()


def autoregression(signal: Tensor, *, taps: Tensor) -> Tensor:
    """Forecast by `fit_autoregression`'s taps: (time,) -> (time,)."""
    return (_lags(signal, len(taps) - 1) @ taps).float()


def baselines(recording: Recording, *, horizon: int) -> dict[str, tuple[Forecast, int]]:
    """Return every baseline by its label, with its receptive field in samples; the order is chosen on validation."""
    lag = beat(recording, horizon=horizon)
    train = recording.signal[: recording.train_end]
    fits = {
        order: partial(autoregression, taps=fit_autoregression(train, order=order, horizon=horizon))
        for order in ORDERS
    }
    best = min(fits, key=lambda order: rmse(fits[order], recording, "val", horizon=horizon))
    return {
        "the mean": (torch.zeros_like, 0),
        "the value now": (partial(last_value, lag=0), 1),
        f"the value one beat ({lag} samples) before": (
            partial(last_value, lag=lag - horizon),
            lag - horizon + 1,
        ),
        f"linear autoregression, order {best}": (fits[best], best),
    }


def _lags(signal: Tensor, order: int) -> Tensor:
    """Row t holds x[t], ..., x[t - order + 1], 1; zeros before the start: (time,) -> (time, order + 1)."""
    rows = F.pad(signal.double(), (order - 1, 0)).unfold(0, order, 1).flip(-1)
    return F.pad(rows, (0, 1), value=1.0)


assert max(ORDERS) <= CONTEXT + 1
