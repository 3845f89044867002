"""Oscillators, gates and moving delays that break one promise each."""

import torch

from dsptorch import EMA, LFO, LFOGate, ModulatedDelay, Tremolo

WIDTH = 4


def tremolo(kind=Tremolo, **kwargs):
    return kind(WIDTH, LFO(2, (0.03, 0.2)), **{"init": "half", **kwargs}).double()


def delay(kind=ModulatedDelay, **kwargs):
    return kind(WIDTH, 3, LFO(2, (0.03, 0.2)), **kwargs).double()


def gate(kind=LFOGate):
    return kind(EMA(WIDTH, 4.0), 2).double()


class CountsFromTheChunk(Tremolo):
    def process(self, x, memory, timeline):
        return super().process(x, memory, timeline._replace(start=None))


class CountsTheWholeRow(Tremolo):
    """Its phase is not reset where a signal begins."""

    def process(self, x, memory, timeline):
        if timeline.segments is not None and timeline.start is None:
            timeline = timeline._replace(segments=None)
        return super().process(x, memory, timeline)


class OneGateForAllRows(LFOGate):
    def process(self, x, memory, timeline):
        start = timeline.start
        gated = timeline if start is None else timeline._replace(start=start[:1].expand_as(start))
        y, memory = self.layer.process(x, memory, timeline)
        return self.through_gates(x, y, gated), memory


class ReadsTheFuture(ModulatedDelay):
    """Goes from the sample before to the one after: right where the delay is a whole number."""

    def process(self, x, memory, timeline):
        y, memory = super().process(x, memory, timeline)
        ahead = torch.cat([x[:, 1:], torch.zeros_like(x[:, :1])], 1) if x.shape[1] else x
        part = self.delays(timeline.positions(x)).frac().mean(-1, keepdim=True)
        return y + 0.1 * part * (ahead - x), memory


class ReachesIntoItsNeighbour(ModulatedDelay):
    def process(self, x, memory, timeline):
        history = memory if isinstance(memory, torch.Tensor) else None
        seen = torch.cat([x.new_zeros(len(x), 3, WIDTH) if history is None else history, x], 1)
        y, memory = super().process(x, memory, timeline)
        return y + 0.1 * seen[:, : x.shape[1]], memory


class ForgetsItsAllpass(ModulatedDelay):
    def process(self, x, memory, timeline):
        return super().process(x, None if memory is None else memory[0], timeline)


class GoesFurther(ModulatedDelay):
    """Its depth is not bounded by the room that it has."""

    receptive_field = 3

    def delays(self, position):
        return super().delays(position).clamp(2.5)


class MovesTwiceAsMuch(ModulatedDelay):
    """By its gradient."""

    def delays(self, position):
        delays = super().delays(position)
        return 2 * delays - delays.detach()
