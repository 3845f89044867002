"""The modes in which a model is tested, each if the model may be a different function in it."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import torch
from torch import Tensor, nn

from dsptorch.isolation import random_state_kept
from dsptorch.testing._engine.baseline import Baseline, baseline_alone, baseline_of
from dsptorch.testing._engine.jitter import jittered
from dsptorch.testing._engine.lazy import initialized
from dsptorch.testing._engine.outputs import Outputs
from dsptorch.testing._engine.perturb import Perturber, check_numbers
from dsptorch.testing._engine.rates import Rate, rate_of
from dsptorch.testing._engine.run import Model, evaluating, training_without_dropout

_JITTERED = " once training has moved the parameters (a copy of the model, with these jittered)"
_TRAINING = " in train mode (dropout at 0, statistics of the batch)"


@dataclass
class Trial:
    """A model in a mode, and what is known of it there.

    Attributes:
        mode: In words, with a space in front; empty for eval mode.
        perturber: The model's.
        baseline: Its measurements.
        rtol: The relative change that counts as none.
    """

    mode: str
    perturber: Perturber
    baseline: Baseline
    rtol: float

    @property
    def cure(self) -> str:
        """What to do if the mode is one that never comes."""
        frozen = " If training never moves them, as where a mask follows each step, pass jitter=False"
        return frozen if _JITTERED in self.mode else ""

    @property
    def _where(self) -> str:
        return self.mode.strip() or "in eval mode"

    @property
    def rate(self) -> Fraction:
        """Output samples per input sample."""
        return rate_of(self.perturber.model, self.perturber.rate)

    @property
    def mixes(self) -> bool:
        """Whether a row changes when others are replaced."""
        self.check_repeats(self.baseline.noise)
        mixes = self.baseline.mixing > self.rtol
        if mixes and self.baseline.uneven:
            raise ValueError(
                f"expected a model that draws as many random numbers for every input, got one that draws other numbers "
                f"{self._where}, so that a row changes with the others; draw for all of the input, and take some"
            )
        return mixes

    @property
    def training(self) -> bool:
        """Whether the model is in train mode, where statistics of the batch are its own affair."""
        return bool(getattr(self.perturber.model, "training", False))

    def batches(self, example: Tensor) -> list[Tensor]:
        """The rows one by one; or together, if they are mixed."""
        return [example] if self.mixes else list(example.split(1))

    def check_repeats(self, noise: float) -> None:
        """Raise if outputs differ, relatively, by more than nothing for the same input."""
        if noise > self.rtol:
            raise ValueError(
                f"expected a model that repeats itself, got outputs that differ by {noise:.3g} of their size for the "
                f"same input {self._where}. If it keeps a cache or a hidden state from call to "
                "call, reset that in its forward; if it draws from a generator of its own, seed that there; if it is "
                "rounding, run it in float64 or with a greater rtol"
            )


def trials(
    perturber: Perturber, example: Tensor, rtol: float, train_mode: bool, jitter: bool
) -> Generator[Trial, None, None]:
    """The model in eval mode and in train mode, and then a copy with other parameters."""
    with torch.no_grad(), random_state_kept(everywhere=True):
        perturber = replace(perturber, model=initialized(perturber.model, example, perturber.seed))
        yield from _modes("", perturber, example, rtol, train_mode)
        model = perturber.model
        if jitter and isinstance(model, nn.Module):

            def accepts(other: nn.Module) -> bool:
                return any(
                    _answers(replace(perturber, model=other, gradients=g), example) for g in (False, True)
                )

            other = jittered(model, perturber.seed, accepts)
            if other is not None:
                yield from _modes(_JITTERED, replace(perturber, model=other), example, rtol, train_mode)


def compared_outputs(model: Model, example: Tensor, rate: Rate = None) -> tuple[str, ...]:
    """The names of the outputs that are compared; that of a bare tensor is empty."""
    with torch.no_grad(), random_state_kept(everywhere=True):
        perturber = Perturber(initialized(model, example, 0), None, 0, rate)
        with evaluating(perturber.model):
            baseline_of(perturber, example)
    return perturber.names


def _modes(
    name: str, perturber: Perturber, example: Tensor, rtol: float, train_mode: bool
) -> Iterator[Trial]:
    with evaluating(perturber.model):
        recording = replace(perturber, gradients=True)
        try:
            baseline = baseline_of(perturber, example)
        except Exception:
            perturber, recorded = recording, _recorded(recording, example)
            if recorded is None:
                raise
            baseline = recorded  # the model takes derivatives inside
        yield Trial(name, perturber, baseline, rtol)
        yield from _alone(name, perturber, example, rtol, baseline)
        recorded = _recorded(recording, example)
        if recorded is not None and not _equal(recorded, baseline):
            yield Trial(f" while gradients are recorded{name}", recording, recorded, rtol)
    if not (train_mode and isinstance(perturber.model, nn.Module)):
        return
    with training_without_dropout(perturber.model):
        training = replace(perturber, gradients=True, names=())
        trained = _recorded(training, example)
        if trained is None:
            training = replace(training, gradients=False)
            try:
                trained = baseline_of(training, example)
            except Exception as error:
                raise ValueError(
                    "expected a model that also runs in train mode, where statistics of the batch leak; got "
                    f"{type(error).__name__}: {error}. Make it run, or pass train_mode=False"
                ) from error
        if not _equal(trained, baseline):
            yield Trial(f"{_TRAINING}{name}", training, trained, rtol)
        yield from _alone(f"{_TRAINING}{name}", training, example, rtol, trained)


def _alone(name: str, perturber: Perturber, example: Tensor, rtol: float, many: Baseline) -> Iterator[Trial]:
    """One row alone: a model may tell it from others by its shape."""
    if not many.fixed:
        baseline = baseline_alone(perturber, example, many, rtol)
        if baseline is not None:
            yield Trial(f" for a batch of one row{name}", perturber, baseline, rtol)


def _recorded(perturber: Perturber, example: Tensor) -> Baseline | None:
    """A baseline with gradients recorded; None where the model does not run with them, and so cannot be trained."""
    try:
        return baseline_of(perturber, example)
    except Exception:
        return None


def _equal(one: Baseline, other: Baseline) -> bool:
    return all(_equal_outputs(a, b) for a, b in zip(one.outputs, other.outputs, strict=True))


def _equal_outputs(one: Outputs, other: Outputs) -> bool:
    return one.keys() == other.keys() and all(torch.equal(y, other[name]) for name, y in one.items())


def _answers(perturber: Perturber, example: Tensor) -> bool:
    """Whether a model gives numbers for an example."""
    with evaluating(perturber.model):
        try:
            check_numbers(perturber.run(example))
        except Exception:
            return False
        return True
