"""Does a model see the future?"""

from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from dsptorch.functional.validate import check_bools
from dsptorch.testing._engine.arguments import check_cuttable, check_rtol, check_seed, check_vocab_size
from dsptorch.testing._engine.blame import origin_of, phase_of
from dsptorch.testing._engine.change import Place, relatively_moved, sizes_of
from dsptorch.testing._engine.perturb import Perturber, WorstChange, repeated
from dsptorch.testing._engine.rates import Rate, brief_rate, input_of, outputs_before, rate_of
from dsptorch.testing._engine.run import Model
from dsptorch.testing._engine.trials import Trial, trials

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

        |y(x)[t] - y(x')[t]| <= rtol * size[t]   for all t < c and all x' with x'[:c] = x[:c]

    Where the rate is not 1, output n stands at input floor(n / rate): those that stand before c must stay. The size of
    an output is its own value or, if that is greater, the greatest value of its channel in the row; but values above
    1,000 times the 10 % quantile of the channel, as masked logits, are outliers and do not count. Whole numbers and
    truth values must not change at all.

    Clean and changed rows run in passes of the same shape and are compared row by row, so that rounding is the
    same. It is done

    1. in eval mode: first all rows but one are changed, and that one must not be; then every cut of every row;
    2. with one row alone, and while gradients are recorded: left out where the outputs are the same;
    3. in train mode with dropout at 0, where statistics of the batch leak; left out where the outputs are the same;
    4. with jittered parameters, on a copy: a weight that starts at 0 hides the leak that training opens; in
       the modes of 1 to 3.

    All tensors of the output that start with (batch, time) are compared, if they do so for a shorter input, too. (A
    pooled vector may have as many channels as the example has time steps.) Of a model that takes no other length it is
    the first. `python -m dsptorch.testing` says which.

    Cost: with T time steps, T - 1 rows of the example for each scale (one for ids, three for signals) in passes of
    at most 64 rows, and one clean pass. Each mode of 2 to 4 costs up to 10 rows to see whether it is another, and if it
    is, 24 of the cuts on the first row, 20 in a row among them, so that a leak at one phase of twenty is seen. A GPT-2
    of two layers, n_embd 128, on 64 ids takes under a second of one core.

    The model keeps its modes, buffers (running statistics), attributes and parameters, and lazy modules stay lazy;
    no gradient is left, and the random states are put back. Each pass starts from the state that the model came with:
    what a module keeps in a buffer, an attribute, or a list of tensors is put back. It runs where the model and the
    example lie, CPU or GPU. What a function draws on is not seen: 3 and 4 need a module.

    Args:
        model: A module, or any function.
        example: Token ids, (batch, time), or a signal, (batch, time, channels); each row is tested.
        vocab_size: For token ids, at least 2: replacements are drawn below it. None is the greatest id of the example
            plus 1.
        rtol: The change that counts as none, relative to the size of an output, in [0, 1).
        seed: The seed of the replacements and the jitter, in [0, 2^63).
        train_mode: Test train mode too.
        jitter: Test a copy with jittered parameters too.
        thorough: Every cut of every row in each of these modes, rather than some.
        rate: Output samples per input sample, an int or a Fraction. None: `model.rate` if that is a Fraction, else 1.

    Raises:
        AssertionError: If an output changes: it says which, at which phase if there is a period, in which
            mode, by which inputs, by how much, and which module shows it first.
        TypeError: If an argument is of another kind.
        ValueError: If the example or the output has no time to test, an argument is out of its range, or the model
            does not repeat itself: it draws at random, or keeps a state that cannot be put back.

    Example:
        >>> from dsptorch import Multirate
        >>> assert_causal(Multirate(8), torch.randn(1, 20, 8))
        >>> assert_causal(Multirate(8, causal=False), torch.randn(1, 20, 8))
        Traceback (most recent call last):
        AssertionError: not causal: the output at time ... sees at least 4 samples ahead ...
    """
    check_bools(train_mode=train_mode, jitter=jitter, thorough=thorough)
    perturber = _perturber(model, example, vocab_size, rtol, seed, rate)
    with closing(trials(perturber, example.detach(), rtol, train_mode, jitter)) as all_trials:
        for trial in all_trials:
            few = bool(trial.mode) and not thorough
            if trial.mixes and not trial.training:
                raise AssertionError(_mixing(trial, trial.baseline.mixed))
            for rows in trial.batches(example.detach()[:1] if few and not trial.mixes else example.detach()):
                found = _leaks(trial, rows, few)
                if found is not None:
                    full = _leaks(trial, rows, False) or found  # few cuts found it: all describe it
                    raise AssertionError(_message(trial, full))


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
    perturber, found = _perturber(model, example, vocab_size, rtol, seed, rate), [0]
    with closing(trials(perturber, example.detach(), rtol, train_mode, jitter)) as all_trials:
        for trial in all_trials:
            for rows in trial.batches(example.detach()):
                leaks = _leaks(trial, rows, False)
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


def _leaks(trial: Trial, clean: Tensor, few: bool) -> _Leaks | None:
    time, rate = clean.shape[1], trial.rate
    cuts = _some_cuts(time) if few else torch.arange(1, time)
    future = torch.arange(time) >= cuts.unsqueeze(1)
    past = torch.arange(outputs_before(time, rate)) < outputs_before(cuts, rate).unsqueeze(1)
    rows = None if trial.mixes else trial.baseline.rows_for(len(cuts))
    changes = trial.perturber.perturb(clean, future, past, rows, trial.rtol)
    leaks = changes.relative > trial.rtol
    return _Leaks(leaks, cuts, changes.worst, clean, rate) if leaks.any() else None


def _message(trial: Trial, found: _Leaks) -> str:
    worst, clean, changed, perturber = found.worst, found.clean, found.worst.row, trial.perturber
    time, cut = clean.shape[1], int(found.cuts[worst.which])
    if not trial.mixes:
        clean, changed = (repeated(x, trial.baseline.rows) for x in (clean, changed))
    before, again, after = (perturber.run(x) for x in (clean, clean, changed))
    sizes = sizes_of(before)
    trial.check_repeats(relatively_moved(again, before, sizes).max().item())
    past = slice(0, outputs_before(cut, found.rate))
    if not relatively_moved(after, before, sizes)[:, past].max() > trial.rtol:
        return _mixing(trial, worst.place)
    notes = [phase_of(found.leaks.any(0)), origin_of(perturber, clean, changed, cut, trial.rtol)]
    if len(perturber.names) > 1:
        notes.insert(0, f"of its outputs {', '.join(perturber.names)} it is {worst.place.name}")
    where = "".join(f"{note[0].upper()}{note[1:]}. " for note in notes if note)
    at = brief_rate(worst.time, found.rate)
    return (
        f"not causal{trial.mode}: the output at time {at} changed by {worst.place.change:.3g} (its usual size is "
        f"{worst.place.size:.3g}) when the input from time {cut} on was replaced by {worst.what}; some output sees at "
        f"least {found.reach} samples ahead of {time}. {where}A training loss of this model means nothing. Look "
        "for symmetric padding, statistics or pooling over time, interpolation, or a missing attention mask."
        + trial.cure
    )


def _perturber(
    model: Model, example: Tensor, vocab_size: int | None, rtol: float, seed: int, rate: Rate
) -> Perturber:
    """Check the arguments that both functions share."""
    check_cuttable(example)
    check_rtol(rtol)
    check_seed(seed)
    check_vocab_size(vocab_size, example)
    rate_of(model, rate)
    return Perturber(model, vocab_size, seed, rate)


def _some_cuts(time: int) -> Tensor:
    """The first two, the last two, and some in a row between."""
    middle = max(1, (time - _FEW) // 2)
    cuts = {1, 2, *range(middle, middle + _FEW), time - 2, time - 1}
    return torch.tensor(sorted(cut for cut in cuts if 1 <= cut < time))


def _mixing(trial: Trial, place: Place) -> str:
    which = f"It is the output {place.name}. " if len(trial.perturber.names) > 1 else ""
    return (
        f"the rows of the batch are mixed{trial.mode}: a row changed by {place.change:.3g} (its usual size is "
        f"{place.size:.3g}) when another one was replaced. {which}Look for statistics over the batch, or a reshape "
        "that lays rows one after another"
    )
