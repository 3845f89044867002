"""Arms: what `dsptorch.insert` puts before each of the three MLPs, at the same number of parameters.

Arms of one memory, that is of one receptive field, are compared with each other:

memory       arms
===========  ======================================================================================================
32 samples   plain
77           conv, fir_identity, fir_delays, fir_lowpass, lfo: 16 taps per channel. The first four are the same
             functions, and differ in their first values alone; lfo is conv behind gates that swing with time.
188          frame: no layers, but a longer frame; dilated: conv with holes; multirate; undecimated: a filterbank of
             5, 7 and 7 bands
235          delays_multirate: both of them, one after the other
===========  ======================================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count

import torch
from torch import Tensor, nn

from dsptorch import FIR, Chain, LFORouting, Multirate, UndecimatedBank, insert
from dsptorch.functional import firwin

from .model import Forecaster

WIDTH, BLOCKS, HIDDEN, FRAME, TAPS = 32, 3, 64, 32, 16


class CausalConv(nn.Module):
    """What anybody would write: a convolution per channel, padded on the left.

    Args:
        d_model: The width.
        kernel_size: The number of taps.
        dilation: The distance between them, in samples.

    Shape:
        (batch, time, d_model) -> the same.
    """

    def __init__(self, d_model: int, kernel_size: int, dilation: int = 1) -> None:
        super().__init__()
        self.past = dilation * (kernel_size - 1)
        self.conv = nn.Conv1d(d_model, d_model, kernel_size, dilation=dilation, groups=d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Filter a whole signal; the next call knows nothing of it."""
        y: Tensor = self.conv(nn.functional.pad(x.transpose(1, 2), (self.past, 0)))
        return y.transpose(1, 2)


def lowpass_bank(d_model: int, kernel_size: int) -> Tensor:
    """Return a low-pass per channel, cutoffs from 1 / kernel_size to 0.9 of Nyquist: (kernel_size, d_model)."""
    cutoffs = torch.logspace(0, 1, d_model, base=0.9 * kernel_size) / kernel_size
    return torch.stack([firwin(kernel_size, cutoff) for cutoff in cutoffs.tolist()], dim=-1)


@dataclass(frozen=True)
class Arm:
    """A treatment.

    Args:
        label: What it is called in tables and figures.
        layer: layer(i) makes what goes before MLP i; None inserts nothing.
        frame: How many samples the frame sees.
    """

    label: str
    layer: Callable[[int], nn.Module] | None = None
    frame: int = FRAME


def _delays(_: int) -> FIR:
    return FIR(WIDTH, TAPS, init="delays")


def _multirate(_: int) -> Multirate:
    return Multirate(WIDTH, 4, levels=2)


ARMS: Mapping[str, Arm] = {
    "plain": Arm("plain"),
    "conv": Arm("nn.Conv1d, causal", lambda _: CausalConv(WIDTH, TAPS)),
    "fir_identity": Arm("FIR, identity at first", lambda _: FIR(WIDTH, TAPS)),
    "fir_delays": Arm("FIR, bank of delays at first", _delays),
    "fir_lowpass": Arm(
        "FIR, bank of low-passes at first", lambda _: FIR(WIDTH, TAPS, init=lowpass_bank(WIDTH, TAPS))
    ),
    "lfo": Arm("LFORouting", lambda _: LFORouting(WIDTH, kernel_size=TAPS, depthwise=True)),
    "frame": Arm("plain, longer frame", frame=188),
    "dilated": Arm("nn.Conv1d, causal, dilated", lambda i: CausalConv(WIDTH, 13, (1, 4, 8)[i])),
    "multirate": Arm("Multirate", _multirate),
    "undecimated": Arm("UndecimatedBank", lambda i: UndecimatedBank(WIDTH, *((4, 3), (6, 2), (6, 2))[i])),
    "delays_multirate": Arm("FIR delays, then Multirate", lambda i: Chain(_delays(i), _multirate(i))),
}


def build(arm: Arm) -> Forecaster:
    """Return the model of an arm; its hidden width gives it the plain model's number of parameters, to rounding.

    Raises:
        ValueError: The arm alone has more.
    """
    budget = parameters(Forecaster(WIDTH, BLOCKS, HIDDEN, FRAME))
    each = BLOCKS * (2 * WIDTH + 1)  # of a hidden unit: a row and a bias in, a column out
    fixed = parameters(_build(arm, 1)) - each
    hidden = round((budget - fixed) / each)
    if hidden < 1:
        raise ValueError(
            f"expected an arm with room for MLPs within {budget:,} parameters, got {fixed:,} in {arm.label!r}; "
            "give it fewer taps"
        )
    return _build(arm, hidden)


def parameters(model: nn.Module) -> int:
    """Return the number of trained parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _build(arm: Arm, hidden: int) -> Forecaster:
    model = Forecaster(WIDTH, BLOCKS, hidden, arm.frame)
    layer, block = arm.layer, count()
    if layer is not None:
        insert(model, "mlps.*", lambda _: layer(next(block)))
    return model
