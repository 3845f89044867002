"""One use of the recurrence for each way that it takes."""

from typing import NamedTuple

import torch
from torch import Tensor

from dsptorch.functional import find_segments
from dsptorch.functional.recurrence import recur_lags
from tests.oracles import runs


class Kind(NamedTuple):
    """What is computed: `ids` of the samples, if rows hold several signals."""

    order: int = 1
    states: int = 1
    varying: bool = False
    state: bool = False
    ids: bool = False
    gain: bool = False

    def inputs(self, time: int = 5, batch: int = 2, requires_grad: bool = True) -> tuple[Tensor, ...]:
        """A signal, coefficients, perhaps a state and a gain; random, with poles inside the unit circle."""
        matrices = (self.order, self.states, self.states, 2)
        shapes = [(batch, time, self.states, 2), ((batch, time) if self.varying else ()) + matrices]
        shapes += [(batch, self.states, 2)] * self.state + [(2,)] * self.gain
        values = [torch.randn(shape, dtype=torch.float64) for shape in shapes]
        values[1] *= 0.4 / (self.order * self.states)
        return tuple(value.requires_grad_(requires_grad) for value in values)

    def segment_ids(self, batch: int, time: int) -> Tensor:
        """Some that begin anew within blocks, at their borders and at the first sample."""
        times = torch.arange(time)
        return torch.stack([times.div(3 + 4 * row, rounding_mode="floor") + row for row in range(batch)])

    def run(self, x: Tensor, a: Tensor, *rest: Tensor) -> Tensor:
        """By the library."""
        state, gain = self._named(*rest)
        begins = None
        if self.ids:
            # A chunk after others: the first signal of row 0 goes on.
            last = torch.zeros(len(x), dtype=torch.int64)
            begins = find_segments(self.segment_ids(*x.shape[:2]), 1 - last, last).position == 0
        return recur_lags(x, a, state, begins, gain=gain)[0]

    def _named(self, *rest: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """The state and the gain, of the inputs behind the first two."""
        return rest[0] if self.state else None, rest[-1] if self.gain else None

    def loop(self, x: Tensor, a: Tensor, *rest: Tensor) -> Tensor:
        """By the definition, so that autograd differentiates it by itself."""
        state, gain = self._named(*rest)
        x = x if gain is None else gain * x
        batch, time = x.shape[:2]
        if time == 0:
            return x
        ids = self.segment_ids(batch, time) if self.ids else torch.zeros(batch, time, dtype=torch.int64)
        rows = []
        for row in range(batch):
            signals = []
            for _, start, stop in runs(ids[row : row + 1]):
                past = [torch.zeros_like(x[0, 0])] * self.order
                if state is not None and start == 0 and int(ids[row, 0]) == 0:
                    past = [state[row]]
                for t in range(start, stop):
                    matrices = a[row, t] if self.varying else a
                    terms = [torch.einsum("ijc,jc->ic", m, y) for m, y in zip(matrices, past, strict=True)]
                    past = [x[row, t] + sum(terms), *past[:-1]]
                    signals.append(past[0])
            rows.append(torch.stack(signals))
        return torch.stack(rows) if rows else x


KINDS = {
    "one pole": Kind(),
    "one pole, state": Kind(state=True),
    "one pole, segments, state": Kind(state=True, ids=True),
    "one pole, segments, state, gain": Kind(state=True, ids=True, gain=True),
    "time-varying": Kind(varying=True),
    "time-varying, segments, state": Kind(varying=True, state=True, ids=True),
    "coupled": Kind(states=2),
    "coupled, gain": Kind(states=2, gain=True),
    "coupled, segments, state": Kind(states=2, state=True, ids=True),
    "second order": Kind(order=2),
    "second order, segments": Kind(order=2, ids=True),
    "second order, coupled, time-varying, segments": Kind(2, 2, varying=True, ids=True),
}
