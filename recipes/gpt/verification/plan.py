"""A plan: arms x lengths x seeds, each a run of its own, and the folder that they lie in.

Runs are paired: with one seed, all arms of a length read the same windows of the text in the same order, and are judged
by the same windows. Each length has a schedule of the learning rate of its own, which ends with the run.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ..checkpoint import check_same_run, write_text
from ..command_line import parse
from ..config import TrainConfig, to_config, train_parser
from ..errors import CheckpointError, UsageError
from ..lock import locked
from ..machine import machine
from ..result import plain

PLAN = "plan.json"
PAIRED = ("data", "batch_size", "model.context")  # with the seed, these decide the windows of the text


@dataclass(frozen=True)
class Run:
    """One run of a plan.

    Args:
        arm: name of the arm.
        steps: length in updates.
        seed: of weights, batches and dropout.
        arguments: of the command `train`, which makes the run, or goes on with it.
        config: what these arguments say.
    """

    arm: str
    steps: int
    seed: int
    arguments: tuple[str, ...]
    config: TrainConfig

    def __str__(self) -> str:
        """Name the run in a message."""
        return f"{self.arm}, {self.steps} steps, seed {self.seed}"


@dataclass(frozen=True)
class Plan:
    """What is to be compared.

    Args:
        arms: arguments of `train` by the arm's name; the first arm is the baseline.
        lengths: numbers of steps.
        seeds: of weights, batches and dropout.
        folder: of the runs and of what is made of them.
    """

    arms: Mapping[str, tuple[str, ...]]
    lengths: tuple[int, ...]
    seeds: tuple[int, ...]
    folder: Path

    @cached_property
    def configs(self) -> dict[str, TrainConfig]:
        """What the arguments of each arm say."""
        return {arm: to_config(parse(train_parser(), arguments)) for arm, arguments in self.arms.items()}

    def __iter__(self) -> Iterator[Run]:
        """Go through the runs: all arms of a seed in turn, so that a slow hour of the machine meets every arm."""
        for steps in self.lengths:
            for seed in self.seeds:
                for arm, arguments in self.arms.items():
                    out = self.folder / f"{arm}-steps{steps}-seed{seed}"
                    own = ("--steps", steps, "--seed", seed, "--out", out, "--resume", "true")
                    config = replace(self.configs[arm], steps=steps, seed=seed, out=out, resume=True)
                    yield Run(arm, steps, seed, (*arguments, *map(str, own)), config)


def make_plan(
    arms: Mapping[str, Sequence[str]], lengths: Sequence[int] | None, seeds: Sequence[int], folder: Path
) -> Plan:
    """Return a plan of paired runs.

    Args:
        arms: arguments of `train` by the arm's name, the baseline first.
        lengths: numbers of steps; None takes that of the baseline's configuration.
        seeds: of each arm and length.
        folder: to put the runs in.

    Raises:
        UsageError: There is no such run, or the arms would not see the same text.
    """
    given = {arm: tuple(arguments) for arm, arguments in arms.items()}
    plan = Plan(given, tuple(lengths or ()), tuple(seeds), folder)
    names = list(given)
    for key in PAIRED:
        values = {arm: _value(plain(config), key) for arm, config in plan.configs.items()}
        other = next((arm for arm in names if values[arm] != values[names[0]]), None)
        if other:
            raise UsageError(
                f"{key}: expected one for all arms, which see the same text in the same order, got "
                f"{values[names[0]]!r} in {names[0]} and {values[other]!r} in {other}; make them equal"
            )
    return plan if lengths else replace(plan, lengths=(plan.configs[names[0]].steps,))


def data_order(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what, with the seed and the text, decides which windows a run reads and is judged by."""
    return {key: _value(config, key) for key in PAIRED}


def _value(config: Mapping[str, Any], key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = value[part]
    return value


def write_plan(plan: Plan) -> None:
    """Write a plan into its folder, beside the runs of one of the same arms that may be there.

    Raises:
        CheckpointError: The runs there are of other arms.
    """
    arms: dict[str, dict[str, Any]] = {
        arm: {"arguments": list(arguments), "config": _of_the_arm(plan.configs[arm])}
        for arm, arguments in plan.arms.items()
    }
    text = json.dumps(
        {
            "command": shlex.join(["python", *sys.argv]),
            "machine": machine(),
            "lengths": plan.lengths,
            "seeds": plan.seeds,
            "arms": arms,
        },
        indent=1,
    )
    with locked(plan.folder, wait=True):  # several programs may work at one plan
        file = plan.folder / PLAN
        if file.exists():
            saved = _read(file).get("arms", {})
            for arm in [arm for arm in saved if arm in arms]:
                check_same_run(saved[arm]["config"], arms[arm]["config"])
            if list(saved) != list(arms):
                raise CheckpointError(
                    f"expected the arms {', '.join(saved)} of the runs in {plan.folder}, got {', '.join(arms)}; give "
                    "another folder"
                )
        write_text(file, text + "\n")


def read_plan(folder: Path) -> Plan:
    """Return the plan that was last asked for in a folder.

    Raises:
        CheckpointError: There is none, or it is damaged.
    """
    saved = _read(folder / PLAN)
    try:
        arms = {arm: tuple(entry["arguments"]) for arm, entry in saved["arms"].items()}
        return Plan(arms, tuple(saved["lengths"]), tuple(saved["seeds"]), folder)
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"expected a plan in {folder / PLAN}, got something else ({error!r}); start verify or ablate again"
        ) from error


def _of_the_arm(config: TrainConfig) -> dict[str, Any]:
    return {
        key: value for key, value in plain(config).items() if key not in ("steps", "seed", "out", "resume")
    }


def _read(file: Path) -> dict[str, Any]:
    try:
        saved = json.loads(file.read_bytes())
    except FileNotFoundError as error:
        raise CheckpointError(
            f"expected the results of verify or ablate in {file.parent}, got no {file.name}; give another folder"
        ) from error
    except ValueError as error:
        raise CheckpointError(
            f"expected a plan in {file}, got something else ({error}); start verify or ablate again"
        ) from error
    if not isinstance(saved, dict):
        raise CheckpointError(f"expected a plan in {file}, got a {type(saved).__name__}; give another folder")
    return saved
