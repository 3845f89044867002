"""Trials: configurations laid on one base, each as wide as makes its parameters those of the reference."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from ..arm_files import arm_files
from ..command_line import parse
from ..config import TrainConfig, to_config, train_parser
from ..errors import UsageError
from ..verification.ablate import parameters, same_parameters

TOLERANCE = 0.01  # of the reference's parameters
FREE = ("name", "why", "unequal")  # keys of a trial that do not go into its configuration
UNEQUAL = (None, "parameters", "time")


@dataclass(frozen=True)
class Trial:
    """One trial.

    Args:
        name: in the log.
        overlay: what it lays on the base, as in a configuration file.
        config: the whole configuration, as wide as the reference asks for.
        parameters: trained parameters of it.
        unequal: what is not that of the reference, in a trial that is to tell causes apart: "parameters", or "time",
            when it makes as many steps as the reference.
    """

    name: str
    overlay: dict[str, Any]
    config: TrainConfig
    parameters: int
    unequal: str | None = None


def read_trials(file: Path, base: str, wanted: int) -> list[Trial]:
    """Return the trials of a file, in order.

    Args:
        file: YAML, a list of mappings: `name`, perhaps `why` and `unequal`, and the keys of a configuration.
        base: configurations joined by "+", on which each trial is laid.
        wanted: parameters that each must have, within 1 %, but for those that are `unequal: parameters`.

    Raises:
        UsageError: The file is not so, or some trials have too many or too few parameters: they are named.
    """
    try:
        entries = yaml.safe_load(file.read_text())
    except (yaml.YAMLError, UnicodeError) as error:
        raise UsageError(
            f"trials: expected a YAML file, got {file} ({' '.join(str(error).split())})"
        ) from error
    if not isinstance(entries, list) or not all(
        isinstance(entry, dict) and entry.get("name") for entry in entries
    ):
        raise UsageError(
            f"trials: expected a list of mappings with a name each, got something else in {file}"
        )
    names = [str(entry["name"]) for entry in entries]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(
            f"trials: expected every name once, got {', '.join(twice)} again in {file}; rename one"
        )
    trials = [
        replace(make_trial(name, _overlay(entry), base, wanted), unequal=entry.get("unequal"))
        for name, entry in zip(names, entries, strict=True)
    ]
    for trial in trials:
        if trial.unequal not in UNEQUAL:
            raise UsageError(
                f"trials: expected unequal: parameters, or unequal: time, in {trial.name}, got {trial.unequal!r}; "
                "change it"
            )
    refuse_unequal([trial for trial in trials if trial.unequal != "parameters"], wanted)
    return trials


def _overlay(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key not in FREE}


def make_trial(name: str, overlay: Mapping[str, Any], base: str, wanted: int) -> Trial:
    """Return a trial whose MLP is as wide as brings its parameters closest to `wanted`.

    A trial that gives `model.mlp_width` itself keeps that.
    """
    config = laid_on(base, overlay)
    if config.model.mlp_width is None:
        width = same_parameters(config, wanted)
        config = replace(config, model=replace(config.model, mlp_width=width))
    return Trial(name, dict(overlay), config, parameters(config))


def laid_on(base: str, overlay: Mapping[str, Any]) -> TrainConfig:
    """Return the configuration that an overlay on a base describes."""
    files = [part for file in arm_files(base) for part in ("--config", str(file))]
    options = [part for key, value in overlay.items() for part in _options(key, value)]
    return to_config(parse(train_parser(), [*files, *options]))


def _options(key: str, value: Any) -> list[str]:
    if isinstance(value, Mapping) and "." not in key:  # a section; what is deeper is one value
        return [part for name, inner in value.items() for part in _options(f"{key}.{name}", inner)]
    return [f"--{key}", json.dumps(value)]


def refuse_unequal(trials: Sequence[Trial], wanted: int) -> None:
    """Refuse trials whose parameters are more than 1 % off.

    Raises:
        UsageError: Some are; the message names each with its parameters.
    """
    off = [
        f"{trial.name} with {trial.parameters:,} ({trial.parameters / wanted - 1:+.1%})"
        for trial in trials
        if abs(trial.parameters / wanted - 1) > TOLERANCE
    ]
    if off:
        raise UsageError(
            f"trials: expected {wanted:,} parameters within {TOLERANCE:.0%}, as the reference has, got "
            f"{'; '.join(off)}; change their tables or widths"
        )


def what_differs(config: TrainConfig) -> dict[str, Any]:
    """Return the part of a configuration that trials choose: arm, model and rates."""
    arm = {key: value for key, value in asdict(config.arm).items() if value not in (None, False)}
    return {"arm": arm, "model": asdict(config.model), "lr": config.lr, "batch_size": config.batch_size}
