"""The filters of the layers and banks to be plotted, as tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from dsptorch.functional import PeriodicFIR
from dsptorch.layers import FilterLayer, Layer

__all__ = ["bank_of", "channel_of", "filter_of"]

_LENGTH = 512  # samples after which the impulse response of a recurrence is truncated


def filter_of(what: PeriodicFIR | Layer) -> PeriodicFIR:
    """The filter of a layer: its `PeriodicFIR`, or the filter measured by impulses."""
    if isinstance(what, PeriodicFIR):
        return what
    if isinstance(what, FilterLayer):
        return what.filter()
    if not isinstance(what, Layer):
        raise TypeError(f"expected a PeriodicFIR or a layer, got {type(what).__name__}; pass one of them")
    if what.rate != 1 or what.period is None or what.d_out != what.d_model:
        raise ValueError(
            f"expected a filter of rate 1 with a period, got {type(what).__name__} with rate {what.rate}, period "
            f"{what.period} and {what.d_model} channels in, {what.d_out} out; "
            "draw a part of it, or its bands by plot_bands"
        )
    return _by_impulses(what, what.period)


@torch.no_grad()
def _by_impulses(layer: Layer, period: int) -> PeriodicFIR:
    """Weights from the responses to an impulse at each phase; channels are assumed to be independent."""
    ahead, field = layer.lookahead, layer.receptive_field
    reach = (_LENGTH if field is None else field - 1 - ahead) + ahead
    first = period * -(-ahead // period)
    reference = next(layer.parameters(), torch.zeros(()))
    x = torch.zeros(period, first + period + reach, layer.d_model, device=reference.device)
    x[torch.arange(period), first + torch.arange(period)] = 1.0
    training = layer.training
    try:
        y = layer.eval()(x) - layer(torch.zeros_like(x))
    finally:
        layer.train(training)
    weight = y.new_zeros(period, reach + 1, layer.d_model)
    taps = torch.arange(reach + 1)
    for phase in range(period):
        weight[(phase + taps - ahead) % period, taps] = y[phase, first + phase - ahead + taps]
    return PeriodicFIR.fir(weight, offset=ahead)


def bank_of(what: Tensor | torch.nn.Module) -> Tensor:
    """The filters of a bank: (bands, taps), real or complex, on the CPU."""
    if isinstance(what, torch.nn.Module):
        matrix = getattr(what, "matrix", None)
        filters = getattr(what, "filters", None)
        if callable(matrix):
            what = matrix()
        elif callable(filters) and not isinstance(filters, torch.nn.Module):
            what = torch.complex(*filters())
        else:
            inside = [module for module in what.modules() if module is not what]
            found = [module for module in inside if callable(getattr(module, "matrix", None))]
            found = found or [part for part in inside if callable(getattr(part, "filters", None))]
            if not found:
                raise TypeError(
                    f"expected a bank with filters, got {type(what).__name__}; pass a FilterBank, a bank of "
                    "dsptorch.audio, or a tensor (bands, taps)"
                )
            return bank_of(found[0])
    if not isinstance(what, Tensor) or what.dim() != 2 or 0 in what.shape:
        shape = tuple(what.shape) if isinstance(what, Tensor) else type(what).__name__
        raise ValueError(f"expected filters (bands, taps), got {shape}; pass a matrix with one filter a row")
    return what.detach().cpu()


def channel_of(weight: Tensor, channel: int) -> Tensor:
    """One channel of a response with channels last; a response with one channel is shared by all."""
    width = weight.shape[-1]
    if not -max(width, 1) <= channel < width and width != 1:
        raise ValueError(f"channel: expected one of {width}, got {channel}")
    return weight[..., 0 if width == 1 else channel].detach().cpu()
