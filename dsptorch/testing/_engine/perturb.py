"""Measure how outputs react to replaced inputs: unchanged and changed rows in passes of one shape, row by row.

Rounding depends on the shape of a pass and on the index of a row, but not on the content of other rows. So in two
passes of one shape, a row that does not see the change is bit-identical.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dsptorch.isolation import preserved
from dsptorch.testing._engine.change import (
    NOWHERE,
    Place,
    moved,
    place_of,
    relatively_moved,
    sizes_of,
    without_overflow,
)
from dsptorch.testing._engine.outputs import Outputs, candidates, flat, followers, named
from dsptorch.testing._engine.rates import Rate, rate_of
from dsptorch.testing._engine.run import Model, called, cuda_devices, drawn, seed_all


class WorstChange(NamedTuple):
    """The greatest change: where, by which replacement, at which output time, the replaced row or rows, their scale."""

    place: Place
    which: int
    time: int
    row: Tensor
    scale: float

    @property
    def what(self) -> str:
        """The replacement of the input, in words."""
        if not (self.row.is_floating_point() or self.row.is_complex()):
            return "other ids"
        return {1.0: "noise as loud as it", 0.0: "silence"}.get(
            self.scale, f"noise {self.scale:g} times as loud"
        )


class Changes(NamedTuple):
    """The changes of outputs, (replacement, output time), and the worst of them."""

    absolute: Tensor
    relative: Tensor
    worst: WorstChange


@dataclass
class Perturber:
    """Replaces inputs of a model and measures how its outputs change.

    Args:
        model: A module in the mode to test it in, or a function.
        vocab_size: For token ids: replacements are drawn below it. None is the greatest id of the example plus 1.
        seed: The seed of the replacements, and of the model's random numbers, the same in every pass.
        rate: Output samples per input sample; None: as `rate_of` says.
        gradients: Whether the passes record them.
        names: The outputs that are compared; filled by the first pass.
    """

    model: Model
    vocab_size: int | None
    seed: int
    rate: Rate = None
    gradients: bool = False
    names: tuple[str, ...] = ()

    def run(self, x: Tensor) -> Outputs:
        """Run a pass, from the state that the model came with: what it keeps from call to call is put back."""
        return self.run_and_count(x)[0]

    def run_and_count(self, x: Tensor) -> tuple[Outputs, object]:
        """Run a pass, and say how many random numbers it drew: equal for as many."""
        found = self._call(x)
        count = drawn(cuda_devices(self.model, x))
        if not self.names:
            self.names = followers(found, x, self._call, rate_of(self.model, self.rate))
        return flat({name: found[name] for name in self.names}), count

    def _call(self, x: Tensor) -> Outputs:
        """Copies of the outputs, before the model's buffers are put back: they may share its memory, or that of x."""
        seed_all(self.seed, cuda_devices(self.model, x))
        rate = rate_of(self.model, self.rate)
        with preserved(self.model, modes=False, attributes=True), torch.set_grad_enabled(self.gradients):
            output = called(self.model, x.clone())
            return named(output, self.names, x, rate) if self.names else candidates(output, x, rate)

    def perturb(
        self,
        clean: Tensor,
        where: Tensor,
        watched: Tensor,
        rows: int | None,
        rtol: float | None,
    ) -> Changes:
        """Replace inputs, and measure the change of outputs.

        Args:
            clean: One row, (1, time, ...); or all rows of a batch, if they are replaced together.
            where: (n, time): the input times that the n-th replacement replaces.
            watched: (n, output time): the output times that count.
            rows: The number of rows of a pass, each with a replacement of its own; None: one replacement a pass, the
                same times in all rows of `clean`, for models that mix rows.
            rtol: The relative change that counts as none; None: relative changes are not measured.

        Returns:
            The greatest change of each watched output over channels, outputs and scales; and the worst over its scale.
        """
        generator = torch.Generator().manual_seed(self.seed)
        batch = clean if rows is None else repeated(clean, rows)
        before = self.run(batch)
        check_numbers(before)
        sizes: Outputs | None = None
        zeros = torch.zeros(watched.shape, dtype=torch.float64)
        found = Changes(zeros, zeros.clone(), WorstChange(NOWHERE, 0, 0, clean, 1.0))
        most = 0.0
        for start in range(0, len(where), rows or 1):
            index = torch.arange(start, start + (rows or 1)).clamp(max=len(where) - 1)
            new = slice(start, start + (rows or 1))
            for scale in scales_of(clean):
                x = self.replaced(batch, where[index], scale, generator)
                after = self.run(x)
                change = moved(after, before).where(watched[index], 0)
                _raise_to(found.absolute[new], change, rows is None)
                if rtol is None or not change.any():
                    continue
                if scale > 1 and change.isinf().any():
                    after = without_overflow(after, before, watched[index])
                sizes = sizes or sizes_of(
                    before if rows is None else {name: y[:1] for name, y in before.items()}
                )
                change = relatively_moved(after, before, sizes).where(watched[index], 0)
                _raise_to(found.relative[new], change, rows is None)
                ratio = change.max().item() / max(1, scale)
                if change.max() > rtol and ratio > most:
                    most, (row, time) = ratio, divmod(int(change.argmax()), change.shape[1])
                    place, source = (
                        place_of(after, before, sizes, row, time),
                        x if rows is None else x[row : row + 1],
                    )
                    which = int(index[0 if rows is None else row])
                    found = found._replace(worst=WorstChange(place, which, time, source, scale))
        return found

    def replaced(
        self, clean: Tensor, where: Tensor, scale: float, generator: torch.Generator | None = None
    ) -> Tensor:
        """Put noise, or other token ids, into the rows of a batch: at the times `where`, (batch or 1, time)."""
        if generator is None:
            generator = torch.Generator().manual_seed(self.seed)
        if clean.is_floating_point() or clean.is_complex():
            kind = torch.complex64 if clean.is_complex() else torch.float32
            noise = torch.randn(clean.shape, dtype=kind, generator=generator).to(clean)
            rms = clean.abs().cpu().double().square().mean().sqrt().clamp(min=1e-3).item()
            other = noise * (scale * rms)
        else:
            size = self.vocab_size if self.vocab_size is not None else int(clean.max()) + 1
            size = 2 if clean.dtype == torch.bool else max(size, 2)
            shift = torch.randint(1, size, clean.shape, generator=generator).to(clean.device)
            other = ((clean + shift) % size).to(clean.dtype)  # always another id
        return torch.where(where.to(clean.device)[(...,) + (None,) * (clean.dim() - 2)], other, clean)


def check_numbers(outputs: Outputs) -> None:
    """Raise if an output is not a number: nothing can be seen behind that."""
    for name, y in outputs.items():
        if y.isnan().any():
            what = f"output {name!r}" if name else "output"
            raise ValueError(
                f"the model's {what} is NaN already for the example itself; give one that it can take"
            )


def repeated(row: Tensor, rows: int) -> Tensor:
    """(rows, time, ...) of one row."""
    return row.repeat(rows, *(1,) * (row.dim() - 1))


def scales_of(x: Tensor) -> tuple[float, ...]:
    """The loudness of the replacements, relative to the example; 0 is silence."""
    if not (x.is_floating_point() or x.is_complex()):
        return (1.0,)
    return (1.0, 30.0 if x.dtype == torch.float16 else 1e3, 0.0)


def _raise_to(found: Tensor, change: Tensor, together: bool) -> None:
    """Enter changes, (row, output time), of as many replacements as there are, or of one for all rows."""
    torch.maximum(found, change.amax(0, keepdim=True) if together else change[: len(found)], out=found)
