"""How outputs react to replaced inputs: clean and changed rows in passes of one shape, compared row by row.

Rounding depends on the shape of a pass and on the row's place in it, never on what other rows hold; so two
passes of one shape differ, at a row that does not see the change, by nothing at all.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dsptorch.testing._engine.rates import Rate
from dsptorch.testing._engine.run import Model, cuda_devices, output_of, seed_all

_ROWS = 64  # of a pass, at most
_NUMBERS = 1 << 24  # of a pass's output, about, at most
_MIXED = 4  # rows of the pass that looks for mixing


@dataclass
class Baseline:
    """Measurements of a model on clean passes, to which changed passes are compared.

    Attributes:
        rows: The number of rows of a pass.
        fixed: Whether the model takes no other number of rows.
        mixing: How much a row changed when another row was replaced.
        noise: How much a row changed when nothing was replaced.
        size: The greatest finite output.
        outputs: The outputs that this was measured on.
    """

    rows: int
    fixed: bool
    mixing: float
    noise: float
    size: float
    outputs: Tensor


class WorstChange(NamedTuple):
    """The greatest change: its size, the replacement, the output's time, the replaced row or rows, the scale."""

    change: float
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


@dataclass
class Perturber:
    """Replaces inputs of a model and measures how its outputs change.

    Args:
        model: A module in the mode to test it in, or a function.
        vocab_size: For token ids: replacements are drawn below it. None is the greatest id of the example plus 1.
        seed: The seed of the replacements, and of the model's random numbers, the same in every pass.
        rate: Output samples per input sample; None: as `rate_of` says.
    """

    model: Model
    vocab_size: int | None
    seed: int
    rate: Rate = None

    def run(self, x: Tensor) -> Tensor:
        """(batch, time, ...), in float32 at least."""
        seed_all(self.seed, cuda_devices(self.model, x))
        y = output_of(self.model, x, self.rate)
        return y if y.dtype == torch.float64 else y.abs().float() if y.is_complex() else y.float()

    def baseline(self, example: Tensor) -> Baseline:
        """Run four rows, replace every other one, and see whether the rest change."""
        row = example[:1]
        fixed = False
        clean = repeated(row, _MIXED)
        try:
            before = self.run(clean)
        except Exception as error:
            fixed = True  # a model that takes its own number of rows, it may be
            clean = repeated(row, len(example))
            if len(example) == _MIXED:
                raise
            try:
                before = self.run(clean)
            except Exception:
                raise error from None
        if before.isnan().any():
            raise ValueError(
                "the model's output is NaN already for the example itself; give one that it can take"
            )
        other = torch.arange(len(clean)) % 2 == 0
        everywhere = other.unsqueeze(1).expand(-1, row.shape[1])
        generator = torch.Generator().manual_seed(self.seed)
        scale = _scales(example)[0]
        after = self.run(replaced(clean, everywhere, scale, self.vocab_size, generator))
        finite = before[before.isfinite()]
        mixing = distance(after, before)[~other].max().item() if len(clean) > 1 else 0.0
        width = before[0].numel()
        return Baseline(
            rows=len(clean) if fixed else max(2, min(_ROWS, _NUMBERS // max(1, width))),
            fixed=fixed,
            mixing=mixing,
            noise=distance(self.run(clean), before).max().item() if mixing else 0.0,
            size=finite.abs().max().item() if len(finite) else 0.0,
            outputs=torch.cat((before, after)),
        )

    def perturb(
        self,
        clean: Tensor,
        where: Tensor,
        watched: Tensor,
        baseline: Baseline,
        limit: float,
        together: bool = False,
    ) -> tuple[Tensor, WorstChange]:
        """Replace inputs, and measure the change of outputs.

        Args:
            clean: One row, (1, time, ...); or, `together`, all rows of a batch.
            where: (n, time): the input times that the n-th replacement replaces.
            watched: (n, output time): the output times that count.
            baseline: How the model takes rows, and how loud it is.
            limit: The change that counts as none.
            together: One replacement a pass, the same times in all rows: for models that mix rows.

        Returns:
            The greatest change of each watched output, (n, output time), over channels and scales; and the worst over
            its scale.
        """
        generator = torch.Generator().manual_seed(self.seed)
        rows = 1 if together else baseline.rows if baseline.fixed else min(baseline.rows, max(2, len(where)))
        batch = clean if together else repeated(clean, rows)
        before = self.run(batch)
        changes = torch.zeros(watched.shape, dtype=torch.float64)
        worst = WorstChange(0.0, 0, 0, clean, 1.0)
        for start in range(0, len(where), rows):
            index = torch.arange(start, start + rows).clamp(max=len(where) - 1)
            for scale in _scales(clean):
                x = replaced(batch, where[index], scale, self.vocab_size, generator)
                change = distance(self.run(x), before).cpu().double()
                change = change.amax(0, keepdim=True) if together else change
                change = change.where(watched[index], 0)
                changes[index] = torch.maximum(changes[index], change)
                most = change.max().item()
                if most > limit and most / max(1, scale) > worst.change / max(1, worst.scale):
                    row, time = divmod(int(change.argmax()), change.shape[1])
                    source = x if together else x[row : row + 1]
                    worst = WorstChange(most, int(index[row]), time, source, scale)
        return changes, worst


def replaced(
    clean: Tensor, where: Tensor, scale: float, vocab_size: int | None, generator: torch.Generator
) -> Tensor:
    """Put noise, or other token ids, into the rows of a batch: at the times `where`, (batch or 1, time)."""
    if clean.is_floating_point() or clean.is_complex():
        kind = torch.complex64 if clean.is_complex() else torch.float32
        noise = torch.randn(clean.shape, dtype=kind, generator=generator).to(clean)
        rms = clean.abs().cpu().double().square().mean().sqrt().clamp(min=1e-3).item()
        other = noise * (scale * rms)
    else:
        size = vocab_size if vocab_size is not None else int(clean.max()) + 1
        shift = torch.randint(1, max(size, 2), clean.shape, generator=generator).to(clean.device)
        other = ((clean + shift) % max(size, 2)).to(clean.dtype)  # always another id
    return torch.where(where.to(clean.device)[(...,) + (None,) * (clean.dim() - 2)], other, clean)


def distance(after: Tensor, before: Tensor) -> Tensor:
    """The greatest change over the channels, (batch, time): infinite where one of them is NaN."""
    change = torch.where(after == before, 0.0, (after - before).abs())  # inf is equal to inf
    return change.flatten(2).nan_to_num(nan=torch.inf, posinf=torch.inf).amax(-1)


def repeated(row: Tensor, rows: int) -> Tensor:
    """(rows, time, ...) of one row."""
    return row.repeat(rows, *(1,) * (row.dim() - 1))


def _scales(x: Tensor) -> tuple[float, ...]:
    """The loudness of the replacements, relative to the example; 0 is silence."""
    if not (x.is_floating_point() or x.is_complex()):
        return (1.0,)
    return (1.0, 30.0 if x.dtype == torch.float16 else 1e3, 0.0)
