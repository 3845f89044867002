"""How outputs react to replaced inputs: clean and changed rows in passes of one shape, compared row by row.

Rounding depends on the shape of a pass and on the row's place in it, never on what other rows hold; so two
passes of one shape differ, at a row that does not see the change, by nothing at all.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dsptorch.isolation import preserved
from dsptorch.testing._engine.change import NOWHERE, Place, moved, place_of, relatively_moved, sizes_of
from dsptorch.testing._engine.outputs import Outputs, candidates, flat, followers, named
from dsptorch.testing._engine.rates import Rate, outputs_before, rate_of
from dsptorch.testing._engine.run import Model, called, cuda_devices, seed_all

_ROWS = 64  # of a pass, at most
_NUMBERS = 1 << 24  # of a pass's output, about, at most
_MIXED = 4  # rows of the pass that looks for mixing
_NEAR = 1e-4  # how near, relatively, a row alone is to the same row among others, if it is the same function


@dataclass
class Baseline:
    """Measurements of a model on clean passes, to which changed passes are compared.

    Attributes:
        rows: The number of rows of a pass.
        fixed: Whether the model takes no other number of rows.
        mixing: How much, relatively, a row changed when the others were replaced.
        mixed: The output that changed the most then.
        noise: How much, relatively, any row changed when nothing was replaced.
        outputs: The outputs that this was measured on: of clean rows, and of the rows when others were replaced.
    """

    rows: int
    fixed: bool
    mixing: float
    mixed: Place
    noise: float
    outputs: tuple[Outputs, Outputs]


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
        found = self._call(x)
        if not self.names:
            self.names = followers(found, x, self._call, rate_of(self.model, self.rate))
        return flat({name: found[name] for name in self.names})

    def baseline(self, example: Tensor) -> Baseline:
        """Run four rows, replace all but one of them, and see whether that one changes."""
        clean, fixed = repeated(example[:1], _MIXED), False
        try:
            before = self.run(clean)
        except Exception as error:
            if len(example) == _MIXED:
                raise
            clean, fixed = repeated(example[:1], len(example)), True  # it may take its own number of rows
            try:
                before = self.run(clean)
            except Exception:
                raise error from None
        check_numbers(before)
        kept = len(clean) // 2
        other = (torch.arange(len(clean)) != kept).unsqueeze(1).expand(-1, clean.shape[1])
        changed = self._replaced(clean, other, _scales(clean)[0])
        after = self._again(changed, clean)
        mixing, mixed, noise = 0.0, NOWHERE, 0.0
        if len(clean) > 1 and moved(after, before)[kept].max() > 0:
            sizes = sizes_of(before)
            change = relatively_moved(after, before, sizes)[kept]
            mixing = change.max().item()
            mixed = place_of(after, before, sizes, kept, int(change.argmax()))
            noise = relatively_moved(self.run(clean), before, sizes).max().item()
        width = sum(y[0].numel() for y in before.values())
        rows = len(clean) if fixed else max(2, min(_ROWS, _NUMBERS // max(1, width)))
        return Baseline(rows, fixed, mixing, mixed, noise, (before, after))

    def baseline_alone(self, example: Tensor, many: Baseline, rtol: float) -> Baseline | None:
        """Run one row alone: is that another function than the same row among others is?

        Args:
            example: Its first row is run.
            many: The measurements on some rows.
            rtol: The change that counts as none.

        Returns:
            The measurements on one row; None if that gives the same, sees no future at one cut, or cannot be run.
        """
        row, time = example[:1], example.shape[1]
        cut = time // 2
        changed = self._replaced(row, torch.arange(time).unsqueeze(0) >= cut, _scales(row)[1 % len(_scales(row))])
        try:
            before, after = self.run(row), self.run(changed)
            check_numbers(before)
        except Exception:
            return None  # no leak where nothing runs
        sizes = sizes_of(before)
        among = {name: y[:1] for name, y in many.outputs[0].items()}
        past = slice(0, outputs_before(cut, rate_of(self.model, self.rate)))
        rounding = relatively_moved(among, before, sizes).max().item()
        change = relatively_moved(after, before, sizes)[:, past].max().item()
        same = rounding <= _NEAR and change <= max(rtol, 10 * rounding)
        return None if same else Baseline(1, True, 0.0, NOWHERE, 0.0, (before, after))

    def perturb(
        self,
        clean: Tensor,
        where: Tensor,
        watched: Tensor,
        baseline: Baseline,
        rtol: float | None,
        together: bool = False,
    ) -> Changes:
        """Replace inputs, and measure the change of outputs.

        Args:
            clean: One row, (1, time, ...); or, `together`, all rows of a batch.
            where: (n, time): the input times that the n-th replacement replaces.
            watched: (n, output time): the output times that count.
            baseline: How the model takes rows.
            rtol: The relative change that counts as none; None: relative changes are not measured.
            together: One replacement a pass, the same times in all rows: for models that mix rows.

        Returns:
            The greatest change of each watched output over channels, outputs and scales; and the worst over its scale.
        """
        generator = torch.Generator().manual_seed(self.seed)
        rows = 1 if together else baseline.rows if baseline.fixed else min(baseline.rows, max(2, len(where)))
        batch = clean if together else repeated(clean, rows)
        before = self.run(batch)
        check_numbers(before)
        sizes: Outputs | None = None
        found = Changes(
            torch.zeros(watched.shape, dtype=torch.float64),
            torch.zeros(watched.shape, dtype=torch.float64),
            WorstChange(NOWHERE, 0, 0, clean, 1.0),
        )
        worst, most = found.worst, 0.0
        for start in range(0, len(where), rows):
            index = torch.arange(start, start + rows).clamp(max=len(where) - 1)
            for scale in _scales(clean):
                x = self._replaced(batch, where[index], scale, generator)
                after = self.run(x)
                change = _merged(moved(after, before), together).where(watched[index], 0)
                found.absolute[index] = torch.maximum(found.absolute[index], change)
                if rtol is None or not change.any():
                    continue
                sizes = sizes or sizes_of(before if together else {name: y[:1] for name, y in before.items()})
                each = relatively_moved(after, before, sizes)
                change = _merged(each, together).where(watched[index], 0)
                found.relative[index] = torch.maximum(found.relative[index], change)
                ratio = change.max().item() / max(1, scale)
                if change.max() > rtol and ratio > most:
                    most = ratio
                    row, time = divmod(int(change.argmax()), change.shape[1])
                    of = int(each[:, time].argmax()) if together else row
                    place = place_of(after, before, sizes, of, time)
                    source = x if together else x[row : row + 1]
                    worst = WorstChange(place, int(index[row]), time, source, scale)
        return found._replace(worst=worst)

    def _call(self, x: Tensor) -> Outputs:
        """Copies of the outputs, before the model's buffers are put back: they may share its memory, or that of x."""
        seed_all(self.seed, cuda_devices(self.model, x))
        rate = rate_of(self.model, self.rate)
        with preserved(self.model, modes=False, attributes=True), torch.set_grad_enabled(self.gradients):
            output = called(self.model, x.clone())
            return named(output, self.names, x, rate) if self.names else candidates(output, x, rate)

    def _again(self, x: Tensor, first: Tensor) -> Outputs:
        """Run another pass after a first one."""
        try:
            return self.run(x)
        except Exception as error:
            try:
                self.run(first)
            except Exception:
                raise ValueError(
                    f"expected a model that repeats itself, got {type(error).__name__}: {error} when it was called "
                    "again: it keeps a cache or a hidden state from call to call; reset that in its forward"
                ) from error
            raise

    def _replaced(
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


def _merged(change: Tensor, together: bool) -> Tensor:
    return change.amax(0, keepdim=True) if together else change


def _scales(x: Tensor) -> tuple[float, ...]:
    """The loudness of the replacements, relative to the example; 0 is silence."""
    if not (x.is_floating_point() or x.is_complex()):
        return (1.0,)
    return (1.0, 30.0 if x.dtype == torch.float16 else 1e3, 0.0)
