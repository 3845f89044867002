"""Results that may be compared seed by seed, and the refusal of those that may not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..checkpoint import check_same_run
from ..errors import CheckpointError
from ..result import RESULT, Result, plain, read_result
from .plan import Plan, Run, data_order


@dataclass(frozen=True)
class Finished:
    """A run and its result."""

    run: Run
    result: Result

    @property
    def folder(self) -> Path:
        """The folder of the run."""
        return self.run.config.out


Pairs = Mapping[str, Sequence[Finished]]  # by arm; the same seeds in the same order


def read_results(plan: Plan) -> dict[int, dict[str, list[Finished]]]:
    """Return the finished runs of a plan by length and arm, in the order of the seeds.

    Raises:
        CheckpointError: A run is missing, is of another configuration, or its pair saw other text.
    """
    missing = [str(run) for run in plan if not (run.config.out / RESULT).exists()]
    if missing:
        raise CheckpointError(
            f"missing run: expected the results of all runs in {plan.folder}, got none of {len(missing)} "
            f"({'; '.join(missing)}); start the same verify or ablate again, which makes them"
        )
    found: dict[int, dict[str, list[Finished]]] = {}
    for run in plan:
        result = read_result(run.config.out / RESULT)
        found.setdefault(run.steps, {}).setdefault(run.arm, []).append(Finished(run, result))
    for arms in found.values():
        check_paired({arm: [done.result for done in runs] for arm, runs in arms.items()})
    for arms in found.values():
        for runs in arms.values():
            for done in runs:
                check_same_run(done.result.config, plain(done.run.config))
    return found


def check_paired(results: Mapping[str, Sequence[Result]]) -> None:
    """Refuse results that are not pairs: of one seed and one text each, read in one order.

    Args:
        results: of each arm, the first being the baseline.

    Raises:
        CheckpointError: They are not; the message says whether by seed, by text or by its order, and where.
    """
    baseline = next(iter(results))
    seeds = [result.config["seed"] for result in results[baseline]]
    for arm, runs in results.items():
        own = [result.config["seed"] for result in runs]
        if own != seeds or len(set(own)) < len(own):
            raise CheckpointError(
                f"unpaired seeds: expected each of the same seeds once in every arm, got {seeds} in {baseline} and "
                f"{own} in {arm}; make the runs that are missing"
            )
        for result, other in zip(runs, results[baseline], strict=True):
            if result.data != other.data:
                raise CheckpointError(
                    f"another text: expected {other.data}, which {baseline} saw with seed {other.config['seed']}, got "
                    f"{result.data} in {arm}; make one of them again"
                )
            order, expected = data_order(result.config), data_order(other.config)
            order["steps"], expected["steps"] = result.config["steps"], other.config["steps"]
            different = [
                f"{key} {expected[key]!r} and {order[key]!r}" for key in order if order[key] != expected[key]
            ]
            if different:
                raise CheckpointError(
                    f"another data order: expected {arm} to read what {baseline} reads with seed "
                    f"{other.config['seed']}, got {', '.join(different)}; make one of them again"
                )
