"""Recurrences that break one promise each."""

import torch

from dsptorch import EMA, SOS, Resonator

WIDTH = 4


def ema(kind=EMA, **kwargs):
    return kind(WIDTH, 6.0, **kwargs)


class HasNoZf(EMA):
    """Gives back the state that it got."""

    def process(self, x, memory, timeline):
        y, after = super().process(x, memory, timeline)
        return y, torch.zeros_like(after) if memory is None else memory.clone()


class StateIsLate(Resonator):
    """The state before the last sample."""

    def process(self, x, memory, timeline):
        if not x.shape[1]:
            return super().process(x, memory, timeline)
        _, before = super().process(x[:, :-1], memory, timeline)
        return super().process(x, memory, timeline)[0], before


class RunsOn(EMA):
    """Its state is not reset where a signal begins."""

    def process(self, x, memory, timeline):
        return super().process(x, memory, timeline._replace(segments=None))


class CountsTheWholeRow(EMA):
    """Divides by the weights of all samples of the row."""

    def process(self, x, memory, timeline):
        y, after = super().process(x, memory, timeline)
        if timeline.segments is None:
            return y, after
        t = torch.arange(x.shape[1], dtype=x.dtype)
        right = 1 - self._decay(x) ** (timeline.segments.position + 1).unsqueeze(-1)
        return y * right / (1 - self._decay(x) ** (t + 1)[:, None]), after


class RoundsItsState(EMA):
    """Keeps its state in the dtype of the signal."""

    def process(self, x, memory, timeline):
        y, after = [], memory
        for now in x.split(1, 1):
            part, after = super().process(now, after, timeline)
            after = after.to(x.dtype)
            y.append(part)
        return torch.cat(y, 1), after


def section_at(radius):
    """A free section whose raw values are far out, both of its poles real and positive."""
    layer = SOS(1, 1, max_half_life=2.0).double()
    layer.sections.radius = radius
    with torch.no_grad():
        layer.sections.k1.raw.fill_(-50.0)
        layer.sections.k2.raw.fill_(50.0)
    return layer
