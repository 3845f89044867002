"""Planted bugs: a layer that does what it must not, and says what is not so."""

import torch
import torch.nn.functional as F
from torch import nn

from dsptorch import Layer
from tests.layers.table import WIDTH


class Broken(Layer):
    """Filters by `taps`, or does as `forward_of` does; declares what it is told to."""

    lookahead = 0
    period = 1
    receptive_field = 3

    def __init__(self, forward_of=None, **declared):
        super().__init__(WIDTH)
        self.weight = nn.Parameter(torch.rand(3, dtype=torch.float64))
        self.forward_of = forward_of
        for name, value in declared.items():
            setattr(type(self), name, value)

    def process(self, x, memory, timeline):
        y = (
            self.forward_of(x)
            if self.forward_of
            else sum(w * F.pad(x, (0, 0, k, 0))[:, : x.shape[1]] for k, w in enumerate(self.weight))
        )
        return y, ()


def broken(forward_of=None, **declared):
    return type("Broken", (Broken,), {})(forward_of, **declared)
