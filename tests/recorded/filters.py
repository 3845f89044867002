"""The `PeriodicFIR` expressions whose numbers are recorded."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from dsptorch import PeriodicFIR
from dsptorch.functional import multirate

I = PeriodicFIR.identity()  # noqa: E741
fir, hold, delay = PeriodicFIR.fir, PeriodicFIR.hold, PeriodicFIR.delay


class Weights(NamedTuple):
    """What the filters are made of."""

    a: Tensor  # (5,)
    b: Tensor  # (3, channels)
    c: Tensor  # (2, 3, channels)
    d: Tensor  # (3, 2, channels)
    gain: Tensor  # (channels,)
    scalar: Tensor  # ()


def coarse(w: Weights, factor: int) -> PeriodicFIR:
    return fir(w.b) @ hold(factor) @ fir(w.a)


def pyramid(w: Weights) -> PeriodicFIR:
    inner = coarse(w, 2) + w.gain * (I - coarse(w, 2))
    outer = fir(w.b) @ inner.at_rate(3) @ hold(3) @ fir(w.a)
    return 0.4 * I + 0.6 * (outer + w.scalar * (I - outer))


FILTERS: dict[str, Callable[[Weights], PeriodicFIR]] = {
    "identity": lambda w: I,
    "delay": lambda w: delay(3),
    "advance": lambda w: delay(-2),
    "fir of one channel": lambda w: fir(w.a),
    "fir": lambda w: fir(w.b),
    "fir, offset": lambda w: fir(w.b, 2),
    "fir, negative offset": lambda w: fir(w.b, -3),
    "fir, period 2": lambda w: fir(w.c),
    "fir, period 3, offset": lambda w: fir(w.d, 1),
    "hold": lambda w: hold(4),
    "hold 1": lambda w: hold(1),
    "gain of each channel": lambda w: w.gain * fir(w.a),
    "gain, negative": lambda w: -(fir(w.c) * 2.5),
    "sum": lambda w: fir(w.a) + fir(w.c) + w.scalar * fir(w.d),
    "difference": lambda w: I - fir(w.b, 1),
    "difference to nothing": lambda w: fir(w.b) - fir(w.b),
    "product": lambda w: fir(w.a) @ fir(w.b),
    "product of periods": lambda w: fir(w.c) @ fir(w.d),
    "product of periods, offsets": lambda w: fir(w.d, 1) @ fir(w.c, -2),
    "product, compose": lambda w: PeriodicFIR.compose(fir(w.b), hold(2), fir(w.c), delay(1)),
    "decimate and hold": lambda w: coarse(w, 3),
    "decimate by much": lambda w: coarse(w, 7),
    "hold of hold": lambda w: hold(2) @ fir(w.b) @ hold(3) @ fir(w.a),
    "two bands": lambda w: coarse(w, 2) + w.gain * (fir(w.b) @ (I - coarse(w, 2))),
    "two bands, lookahead": lambda w: fir(w.b, 1) @ hold(2) @ fir(w.a, 2) + w.scalar * (I - fir(w.b, 1)),
    "at a lower rate": lambda w: fir(w.b).at_rate(3) @ hold(3),
    "at a lower rate, offset": lambda w: fir(w.b, 1).at_rate(2) @ hold(2) @ fir(w.a),
    "at a lower rate, period 2": lambda w: fir(w.c).at_rate(3) @ hold(3) @ fir(w.a),
    "at two lower rates": lambda w: (fir(w.b).at_rate(2) @ hold(2) @ fir(w.a)).at_rate(2) @ hold(2),
    "delay at a lower rate": lambda w: delay(2).at_rate(3) @ hold(3),
    "at a lower rate, no hold": lambda w: fir(w.b).at_rate(4),
    "at a lower rate, no hold, period 2": lambda w: fir(w.c, 1).at_rate(2),
    "pyramid": pyramid,
    "multirate": lambda w: multirate(
        w.c, w.c, w.c, downsample=3, mix_ratio=w.scalar, detail_strength=w.gain, offset=1
    ),
    "folded": lambda w: coarse(w, 3).folded(),
}
"""Expressions, by name."""

WITHOUT_PERIOD = {"at a lower rate, no hold"}
"""Their structure is not recorded: a filter of period 1 may keep it at a lower rate, where nothing is held."""
