"""Check whether a model sees the future."""

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

_FEW = 20  # consecutive cuts if only a selection is made: covers all phases of periods up to this


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
    """Assert that no output of a model depends on a later input or on another row of the batch.

    For every cut c of the sequence, the input from c on is replaced (token ids by other ids; signals by noise of the
    same scale, by noise 1,000 times as loud, and by silence). The outputs before c must not change:

        |y(x)[t] - y(x')[t]| <= rtol * size[t]   for all t < c and all x' with x'[:c] = x[:c]

    At other rates than 1, output n stands at input floor(n / rate), and outputs that stand before c must not change.
    The size of an output is its own value or, if greater, the greatest value of its channel in the row. Values above
    1,000 times the 10 % quantile of the channel, such as masked logits, are outliers and do not count. Integers and
    booleans must not change at all.

    Unchanged and changed rows run in passes of the same shape and are compared row by row, so that rounding is equal.
    The check runs

    1. in eval mode: first all rows but one are changed, and this row must not change; then every cut of every row;
    2. with one row alone, and while gradients are recorded; skipped if the outputs are the same;
    3. in train mode with dropout at 0, where statistics of the batch leak; skipped if the outputs are the same;
    4. with jittered parameters, on a copy, in the modes of 1 to 3: a weight that starts at 0 hides a leak that
       training opens.

    All tensors of the output that start with (batch, time) are compared, if they also do for a shorter input. (A pooled
    vector may happen to have as many channels as the example has time steps.) For a model that accepts no other length,
    only the first is compared. `python -m dsptorch.testing` prints which.

    Cost: with T time steps, T - 1 rows of the example for each scale (one for ids, three for signals) in passes of at
    most 64 rows, and one unchanged pass. Each mode of 2 to 4 costs up to 10 rows to find out whether it differs, and if
    so, 24 cuts on the first row, 20 of them consecutive, so that a leak at one phase of twenty is found. A GPT-2 of two
    layers, n_embd 128, on 64 ids takes less than a second on one core.

    The model keeps its modes, buffers (running statistics), attributes and parameters, lazy modules stay lazy, no
    gradients are left, and the random states are restored. Each pass starts from the initial state of the model: a
    module's buffers, attributes and lists of tensors are restored. The check runs on the device of the model and the
    example. The state behind a plain function is not visible, so 3 and 4 need a module.

    Args:
        model: A module, or any function.
        example: Token ids, (batch, time), or a signal, (batch, time, channels). Every row is tested.
        vocab_size: For token ids, at least 2: replacements are drawn below it. None takes the greatest id of the
            example plus 1.
        rtol: The change up to which outputs count as equal, relative to the size of an output, in [0, 1).
        seed: The seed of the replacements and the jitter, in [0, 2^63).
        train_mode: Whether to test train mode too.
        jitter: Whether to test a copy with jittered parameters too.
        thorough: Whether to test every cut of every row in each of these modes, instead of a selection.
        rate: Output samples per input sample, an int or a Fraction. None takes `model.rate` if it is a Fraction,
            otherwise 1.

    Raises:
        AssertionError: If an output changes. The message gives the output, its phase if there is a period, the mode,
            the inputs, the size of the change, and the first module that shows it.
        TypeError: If an argument has another type.
        ValueError: If the example or the output has no time to test, an argument is out of range, or the model is not
            repeatable: it draws random numbers, or keeps a state that cannot be restored.

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
    """Measure how far an output of a model looks ahead of its time, in input samples; 0 is causal.

        max { s - floor(t / rate) : replacing the input from s on changes the output at t }

    This is a thorough `assert_causal` with a number as its result. The number is a lower bound of the model's
    lookahead, and at most the length of the example minus 1.

    Args:
        model: See `assert_causal`.
        example: See `assert_causal`. It must be longer than the possible lookahead of the model.
        vocab_size: See `assert_causal`.
        rtol: See `assert_causal`.
        seed: See `assert_causal`.
        train_mode: Measure in train mode too; statistics of a batch see all of the sequence.
        jitter: Measure a copy with jittered parameters too: what the model may learn to see.
        rate: See `assert_causal`.

    Raises:
        ValueError: See `assert_causal`.

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
