"""The command `search`: trials of arms against a reference, at equal parameters and equal time, each one logged.

The budget of a trial is time: as many steps as fit into the time of `steps` steps of the reference, by the ratio of
their step times, which is measured side by side before the trial. A trial that is to tell causes apart may be unequal
in parameters or in time; its line says so. Each trial passes the leak gate before its first
step and before it is saved. A trial that leaks or diverges is a line of the log like any other.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..arm_files import arm_files
from ..checkpoint import check_same_run, write_text
from ..config import TrainConfig, load_config
from ..data import Splits, load_splits
from ..errors import CheckpointError, LeakError, UsageError
from ..generate import load_model, streaming_error
from ..lock import locked
from ..machine import machine
from ..ranges import Count, Seeds, checked
from ..result import fingerprint
from ..step_time import time_ratio
from ..train import CHECKPOINT, train
from ..verification.ablate import parameters
from ..verification.flops import flops_per_step
from .log import LOG, REFERENCE, Line, append, find, read_log
from .table import in_markdown
from .trials import Trial, read_trials, what_differs

TABLE = "trials.md"
ROUNDING = 1e-2  # of logits, which are some tens; a byte that is seen too early changes them by more than 1


@checked
def search(
    trials: Path,
    reference: str = "rope+token_shift",
    base: str = "rope",
    seeds: Seeds = (0,),
    steps: Count = 250,
    validate: Count = 65_536,
    results_dir: Path = Path("results/search"),
    data: str = "enwik8",
    root: Path = Path("data"),
) -> None:
    """Train each trial of a file with the parameters and in the time of a reference, and log what comes out.

    A trial that is in the log is not made again, and one that was killed goes on from its checkpoint: start the same
    command again. Trials may be added to the file.

    Args:
        trials: YAML file: a list of mappings with a name each and the keys of a configuration; `unequal: parameters`
            or `unequal: time` frees a trial of one of the two.
        reference: configurations joined by "+": what is to be beaten.
        base: the same: what each trial is laid on.
        seeds: of weights and batches; several make paired runs, with intervals in the table.
        steps: of the reference.
        validate: how many bytes of the validation split to judge by, at most.
        results_dir: folder of the runs, and of trials.jsonl and trials.md.
        data: as of `train`.
        root: as of `train`.
    """
    splits = load_splits(data, root)
    splits = splits._replace(val=splits.val[:validate], test=splits.test[:validate])
    of_reference = _budgeted(load_config(arm_files(reference)), steps, steps, data, root)
    wanted = parameters(of_reference)
    chosen = [
        Trial(REFERENCE, {}, of_reference, wanted),
        *(
            replace(trial, config=_budgeted(trial.config, steps, steps, data, root))
            for trial in read_trials(trials, base, wanted)
        ),
    ]
    _refuse_other_batches(chosen)
    budget = {"reference": reference, "steps": steps, "data": fingerprint(splits)}
    command = shlex.join(["python", *sys.argv])
    with locked(results_dir):
        log = results_dir / LOG
        _refuse_another_search(read_log(log), budget, chosen)
        for trial in chosen:
            for seed in seeds:
                if find(read_log(log), trial.name, seed) is None:
                    line = _make(trial, of_reference, seed, results_dir, splits)
                    append(log, {**line, "budget": budget, "command": command, "machine": machine()})
                    write_text(results_dir / TABLE, in_markdown(read_log(log)) + "\n")
    print(in_markdown(read_log(log)))


def _budgeted(config: TrainConfig, steps: int, budget: int, data: str, root: Path) -> TrainConfig:
    """Return a configuration of some steps, which warms up over a tenth of the budget and is judged at its end."""
    return replace(
        config,
        steps=steps,
        warmup=budget // 10,
        eval_every=steps,
        checkpoint_every=max(1, min(steps, 250)),
        data=data,
        root=root,
        accelerator="cpu",
    )


def _refuse_other_batches(trials: Sequence[Trial]) -> None:
    """Refuse trials that would read other windows of the text than the reference."""
    first = trials[0].config
    for trial in trials:
        if (trial.config.batch_size, trial.config.model.context) != (first.batch_size, first.model.context):
            raise UsageError(
                f"trials: expected batch_size and model.context of the reference in {trial.name}, got others; make "
                "them equal"
            )


def _refuse_another_search(lines: Sequence[Line], budget: Line, trials: Sequence[Trial]) -> None:
    """Refuse a log of another reference, length or text, or of other trials of the same names."""
    for line in lines:
        check_same_run(line["budget"], budget)
        trial = next((trial for trial in trials if trial.name == line["trial"]), None)
        if trial is not None and (line["config"], line.get("unequal")) != (
            json.loads(json.dumps(what_differs(trial.config))),
            trial.unequal,
        ):
            raise CheckpointError(
                f"expected the trial {trial.name} as it is in the log, got another configuration of it; give it a "
                "name of its own"
            )


def _make(trial: Trial, reference: TrainConfig, seed: int, folder: Path, splits: Splits) -> Line:
    """Make a trial, or go on with it, and return its line of the log."""
    out = folder / f"{trial.name}-seed{seed}"
    ratio = 1.0 if trial.name == REFERENCE else _time_ratio(trial, reference, folder)
    budget = reference.steps
    steps = budget if trial.unequal == "time" else max(1, round(budget / ratio))
    config = _budgeted(trial.config, steps, budget, reference.data, reference.root)
    line: Line = {
        "trial": trial.name,
        "seed": seed,
        **({"unequal": trial.unequal} if trial.unequal else {}),
        "config": what_differs(trial.config),
        "parameters": trial.parameters,
        "time_ratio": ratio,
        "flops_ratio": flops_per_step(config) / flops_per_step(reference),
        "steps": steps,
    }
    try:
        result = train(replace(config, seed=seed, out=out, resume=True), splits)
        error_of_stream = _check_stream(out / CHECKPOINT, splits)
    except LeakError as error:
        return {**line, "outcome": "leak", "said": str(error)[:200]}
    except FloatingPointError as error:
        return {**line, "outcome": "diverged", "said": str(error)[:200]}
    return {
        **line,
        "outcome": "finished",
        "val_loss": result.val_loss,
        "test_loss": result.test_loss,
        "step_ms": result.step_ms,
        "streaming_error": error_of_stream,
    }


def _check_stream(checkpoint: Path, splits: Splits) -> float:
    """Return how far the logits of a trained model are from those that it makes when it is given byte after byte.

    This is a second proof beside the leak gate: byte after byte, there is no later byte to look at.

    Raises:
        LeakError: They are farther apart than rounding.
    """
    model = load_model(checkpoint)
    error = streaming_error(model, splits.val[: model.config.context].long()[None])
    if not error < ROUNDING:
        raise LeakError(
            f"expected the same logits of a whole text and byte after byte, got a difference of {error:.3g}"
        )
    return error


def _time_ratio(trial: Trial, reference: TrainConfig, folder: Path) -> float:
    """Return the ratio that was measured for a trial, or measure it: a run that goes on keeps its number of steps."""
    file = folder / f"{trial.name}-time.json"
    if not file.exists():
        measured: dict[str, Any] = {"time_ratio": time_ratio(trial.config, reference)}
        write_text(file, json.dumps(measured) + "\n")
    return float(json.loads(file.read_bytes())["time_ratio"])
