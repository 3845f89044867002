"""The command `verify`: a baseline and treatments, with the same seeds and lengths."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

from ..arm_files import arm_files, arm_label
from ..data import load_splits
from ..errors import UsageError
from ..ranges import Count, Distinct, Seeds, checked
from ..result import fingerprint, finished
from .engine import SCRIPT, run_side_by_side
from .plan import Plan, Run, make_plan, write_plan
from .ray_tasks import on_ray

SEEDS = (42, 123, 456, 789, 2024)  # the study's
Lengths = Annotated[Sequence[Count], Distinct()]


@checked
def verify(
    baseline: str,
    treatment: Annotated[Sequence[str], Distinct()],
    seeds: Seeds = SEEDS,
    long_steps: Lengths | None = None,
    results_dir: Path = Path("results/verification"),
    data: str | None = None,
    root: Path = Path("data"),
    workers: Count = 1,
    ray: str | None = None,
    list: bool = False,  # noqa: A002  (the name of the option)
) -> None:
    """Train a baseline and one treatment or more with the same seeds, text and windows, at each length.

    A run that is finished is not made again, and one that was killed goes on from its checkpoint: start the same
    command again. Several machines that share the folder of the results may work at one command at a time.

    Args:
        baseline: configurations joined by "+": names in recipes/configs or paths.
        treatment: the same, of each treatment.
        seeds: of weights, batches and dropout.
        long_steps: lengths in updates, each with a schedule of its own; the baseline's `steps` where none is given.
        results_dir: folder to put the runs in.
        data: as of `train`; that of the configurations where none is given.
        root: as of `train`.
        workers: how many runs at a time, each with its share of the cores.
        ray: address of a Ray cluster that makes the runs as its tasks, its machines sharing the folders of the results,
            the text and this checkout; "auto" for the one that this machine is of, "local" for one of its own.
        list: whether to print the commands of the single runs, for a scheduler of your own, and make none.
    """
    arms = {arm_label(arm): arguments(arm, data, root) for arm in (baseline, *treatment)}
    if len(arms) < 1 + len(treatment):
        raise UsageError(
            f"treatment: expected files of other names than those of {baseline}, each once, got "
            f"{', '.join(treatment)}; change or rename one"
        )
    carry_out(make_plan(arms, long_steps, seeds, results_dir), workers=workers, only_list=list, ray=ray)


def arguments(arm: str, data: str | None, root: Path) -> list[str]:
    """Return the arguments of `train` that make an arm."""
    given = [part for file in arm_files(arm) for part in ("--config", str(file))]
    return [*given, *(["--data", data] if data else []), "--root", str(root)]


def carry_out(plan: Plan, *, workers: int, only_list: bool, ray: str | None = None) -> bool:
    """Make the runs of a plan, and return True; or print the commands that make them, and return False."""
    write_plan(plan)
    if only_list:
        for run in plan:
            print(shlex.join(["python", os.path.relpath(SCRIPT), "train", *run.arguments]))
        return False
    runs = [*plan]
    first = runs[0].config  # all read one text
    data = fingerprint(load_splits(first.data, first.root))

    def has_result(run: Run) -> bool:
        return finished(run.config, data) is not None

    with nullcontext() if ray is None else on_ray(ray, workers=workers, finished=has_result) as start:
        run_side_by_side(runs, workers=workers, finished=has_result, start=start)
    print(f"{len(runs)} runs are finished in {plan.folder}")
    return True
