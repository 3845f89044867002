"""Does a model see the future?"""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn

from dsptorch.functional.validate import check_bools
from dsptorch.isolation import random_state_kept
from dsptorch.testing._engine.blame import origin_of, phase_of
from dsptorch.testing._engine.jitter import jittered
from dsptorch.testing._engine.perturb import Baseline, Perturber, WorstChange, distance, repeated
from dsptorch.testing._engine.rates import Rate, brief_rate, input_of, outputs_before, rate_of
from dsptorch.testing._engine.run import Model, evaluating, training_without_dropout

_FEW = 20  # consecutive cuts where not every one is made: all phases of periods up to this


def assert_causal(
    model: Model,
    example: Tensor,
    *,
    vocab_size: int | None = None,
    rtol: float = 1e-6,
    seed: int = 0,
    train_mode: bool = True,
    jitter: bool = True,
    thorough: bool = False,
    rate: Rate = None,
) -> None:
    """Assert that no output of a model depends on a later input, nor on another row of the batch.

    For every cut c of the sequence the input from c on is replaced (token ids by other ids; signals by noise
    of their own scale, of 1,000 times it, and by silence), and the outputs before c must stay what they were:

        y(x)[t] = y(x')[t]   for all t < c and all x' with x'[:c] = x[:c]

    Where the rate is not 1, output n stands at input floor(n / rate): those that stand before c must stay.

    Clean and changed rows run in passes of the same shape and are compared row by row, so that rounding is the
    same. It is done

    1. in eval mode: first one row is changed, and the others must not be; then every cut of every row;
    2. in train mode with dropout at 0, where statistics of the batch leak; left out where train mode gives the
       same numbers;
    3. with jittered parameters, on a copy: a weight that starts at 0 hides the leak that training opens; in
       eval mode and, where it differs, in train mode.

    Cost: with T time steps, T - 1 rows of the example for each scale (one for ids, three for signals) in passes of
    at most 64 rows, and one clean pass. 2 and 3 try 24 of the cuts on the first row, 20 in a row among them, so
    that a leak at one phase of twenty is seen: about 80 rows more for ids. A GPT-2 of two layers, n_embd 128,
    on 64 ids takes under a second of one core.

    The model keeps its modes, buffers (running statistics) and parameters; no gradient is recorded, and the
    random states are put back. It runs where the model and the example lie, CPU or GPU. What a function draws
    on is not seen: 2 and 3 need a module.

    Args:
        model: A module, or any function; the first tensor of its output that starts with (batch, time) counts.
        example: Token ids, (batch, time), or a signal, (batch, time, channels); each row is tested.
        vocab_size: For token ids: replacements are drawn below it. None is the greatest id of the example plus 1.
        rtol: The change that counts as none, relative to the greatest output.
        seed: The seed of the replacements and the jitter.
        train_mode: Test train mode too.
        jitter: Test a copy with jittered parameters too.
        thorough: Every cut of every row in each of these modes, rather than some.
        rate: Output samples per input sample, an int or a Fraction. None: `model.rate` if that is a Fraction, else 1.

    Raises:
        AssertionError: If an output changes: it says which, at which phase if there is a period, in which
            mode, by which inputs, by how much, and which module shows it first.
        ValueError: If the example or the output has no time to test, or the model answers at random.

    Example:
        >>> from dsptorch import Multirate
        >>> assert_causal(Multirate(8), torch.randn(1, 20, 8))
        >>> assert_causal(Multirate(8, causal=False), torch.randn(1, 20, 8))
        Traceback (most recent call last):
        AssertionError: not causal: the output at time ... sees at least 4 samples ahead ...
    """
    check_bools(train_mode=train_mode, jitter=jitter, thorough=thorough)
    with closing(_trials(model, example, vocab_size, seed, train_mode, jitter, rate)) as trials:
        for trial in trials:
            few = bool(trial.mode) and not thorough
            if not trial.mode and trial.mixes(rtol):
                raise AssertionError(_mixing(trial.baseline.mixing))
            for rows in trial.batches(example[:1] if few and not trial.mixes(rtol) else example, rtol):
                found = trial.leaks(rows, rtol, few)
                if found is not None:
                    full = trial.leaks(rows, rtol, False) or found  # few cuts found it: all describe it
                    raise AssertionError(trial.message(full, rtol))


def max_lookahead(
    model: Model,
    example: Tensor,
    *,
    vocab_size: int | None = None,
    rtol: float = 1e-6,
    seed: int = 0,
    train_mode: bool = True,
    jitter: bool = True,
    rate: Rate = None,
) -> int:
    """Measure how far ahead of its time an output of a model is seen to look, in input samples; 0 is causal.

        max { s - floor(t / rate) : replacing the input from s on changes the output at t }

    It is `assert_causal`, thorough, with a number for a verdict; a lower bound of what the model can do, and at
    most one less than the example is long.

    Args:
        model: As in `assert_causal`.
        example: As in `assert_causal`; longer than what the model may look ahead.
        vocab_size: As in `assert_causal`.
        rtol: As in `assert_causal`.
        seed: As in `assert_causal`.
        train_mode: Measure in train mode too; statistics of a batch see all of the sequence.
        jitter: Measure a copy with jittered parameters too: what the model may learn to see.
        rate: As in `assert_causal`.

    Raises:
        ValueError: As in `assert_causal`.

    Example:
        >>> from dsptorch import Multirate
        >>> max_lookahead(Multirate(8), torch.randn(1, 20, 8))
        0
        >>> max_lookahead(Multirate(8, causal=False), torch.randn(1, 20, 8))
        6
    """
    check_bools(train_mode=train_mode, jitter=jitter)
    found = [0]
    with closing(_trials(model, example, vocab_size, seed, train_mode, jitter, rate)) as trials:
        for trial in trials:
            for rows in trial.batches(example, rtol):
                leaks = trial.leaks(rows, rtol, False)
                found.append(leaks.reach if leaks else 0)
    return max(found)


@dataclass
class _Leaks:
    """A leak: which (cut, output time) changed, how far ahead, and the worst change."""

    leaks: Tensor
    cuts: Tensor
    worst: WorstChange
    clean: Tensor
    rate: Fraction

    @property
    def reach(self) -> int:
        stands = [input_of(n, self.rate) for n in range(self.leaks.shape[1])]
        ahead = self.cuts.unsqueeze(1) - torch.tensor(stands)
        return int(ahead[self.leaks].max())


@dataclass
class _Trial:
    """A model in a mode."""

    mode: str
    perturber: Perturber
    baseline: Baseline

    @property
    def rate(self) -> Fraction:
        return rate_of(self.perturber.model, self.perturber.rate)

    def batches(self, example: Tensor, rtol: float) -> list[Tensor]:
        """The rows one by one; or together, if they are mixed."""
        return [example] if self.mixes(rtol) else list(example.split(1))

    def check_repeats(self, noise: float, rtol: float) -> None:
        if noise > rtol * self.baseline.size:
            raise ValueError(
                f"expected a model that repeats itself, got outputs that differ by {noise:.3g} for the same input "
                f"{self.mode.strip() or 'in eval mode'}; seed what it draws from in its forward, or run it in "
                "float64 or with a greater rtol if it is rounding"
            )

    def mixes(self, rtol: float) -> bool:
        self.check_repeats(self.baseline.noise, rtol)
        return self.baseline.mixing > rtol * self.baseline.size

    def leaks(self, clean: Tensor, rtol: float, few: bool) -> _Leaks | None:
        time, rate = clean.shape[1], self.rate
        cuts = _some_cuts(time) if few else torch.arange(1, time)
        future = torch.arange(time) >= cuts.unsqueeze(1)
        past = torch.arange(outputs_before(time, rate)) < outputs_before(cuts, rate).unsqueeze(1)
        together, limit = self.mixes(rtol), rtol * self.baseline.size
        changes, worst = self.perturber.perturb(clean, future, past, self.baseline, limit, together)
        leaks = changes > limit
        return _Leaks(leaks, cuts, worst, clean, rate) if leaks.any() else None

    def message(self, found: _Leaks, rtol: float) -> str:
        worst, clean, changed = found.worst, found.clean, found.worst.row
        time, cut, size = clean.shape[1], int(found.cuts[worst.which]), self.baseline.size
        if not self.mixes(rtol):
            clean, changed = repeated(clean, self.baseline.rows), repeated(changed, self.baseline.rows)
        before, again, after = (self.perturber.run(x) for x in (clean, clean, changed))
        self.check_repeats(distance(again, before).max().item(), rtol)
        if not distance(after, before)[:, : outputs_before(cut, self.rate)].max() > rtol * size:
            return _mixing(worst.change)
        notes = [phase_of(found.leaks.any(0)), origin_of(self.perturber, clean, changed, cut, rtol)]
        where = "".join(f"{note[0].upper()}{note[1:]}. " for note in notes if note)
        at = brief_rate(worst.time, self.rate)
        return (
            f"not causal{self.mode}: the output at time {at} changed by {worst.change:.3g} (the greatest is "
            f"{size:.3g}) when the input from time {cut} on was replaced by {worst.what}; some output sees at "
            f"least {found.reach} samples ahead of {time}. {where}A training loss of this model means nothing. Look "
            "for symmetric padding, statistics or pooling over time, interpolation, or a missing attention mask"
        )


def _trials(
    model: Model,
    example: Tensor,
    vocab_size: int | None,
    seed: int,
    train_mode: bool,
    jitter: bool,
    rate: Rate,
) -> Generator[_Trial, None, None]:
    """The model in eval mode and in train mode, and then a copy of it."""
    _check_example(example)
    with torch.no_grad(), random_state_kept(everywhere=True):
        yield from _modes("", Perturber(model, vocab_size, seed, rate), example, train_mode)
        if jitter and isinstance(model, nn.Module):
            other = jittered(model, seed)
            if other is not None:
                name = " once training has moved the parameters (a copy of the model, with these jittered)"
                yield from _modes(name, Perturber(other, vocab_size, seed, rate), example, train_mode)


def _modes(
    name: str, perturber: Perturber, example: Tensor, train_mode: bool
) -> Generator[_Trial, None, None]:
    model = perturber.model
    with evaluating(model):
        baseline = perturber.baseline(example)
        yield _Trial(name, perturber, baseline)
    if not (train_mode and isinstance(model, nn.Module)):
        return
    with training_without_dropout(model):
        try:
            other = perturber.baseline(example)
        except Exception as error:
            raise ValueError(
                "expected a model that also runs in train mode, where statistics of the batch leak; got "
                f"{type(error).__name__}: {error}. Make it run, or pass train_mode=False"
            ) from error
        same = other.outputs.shape == baseline.outputs.shape and torch.equal(other.outputs, baseline.outputs)
        if not same:
            yield _Trial(f" in train mode (dropout at 0, statistics of the batch){name}", perturber, other)


def _some_cuts(time: int) -> Tensor:
    """The first two, the last two, and some in a row between."""
    middle = max(1, (time - _FEW) // 2)
    cuts = {1, 2, *range(middle, middle + _FEW), time - 2, time - 1}
    return torch.tensor(sorted(cut for cut in cuts if 1 <= cut < time))


def _mixing(change: float) -> str:
    return (
        f"the rows of the batch are mixed: a row changed by {change:.3g} when another one was replaced. Look for "
        "statistics over the batch, or a reshape that lays rows one after another"
    )


def _check_example(example: Any) -> None:
    if not isinstance(example, Tensor):
        raise TypeError(f"example must be a tensor, got {type(example).__name__}")
    if example.dim() < 2 or example.shape[0] < 1 or example.shape[1] < 2:
        raise ValueError(
            "example must be (batch, time) token ids or a (batch, time, channels) signal, of at least 1 row and "
            f"2 time steps; got shape {tuple(example.shape)}"
        )
