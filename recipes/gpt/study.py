"""The study: arms times seeds, each a run of its own, summed up in results.json and table.md."""

from __future__ import annotations

import json
import shlex
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

from .arm_files import arm_files, arm_label
from .checkpoint import write_text
from .config import load_config
from .data import load_splits
from .errors import UsageError
from .lock import locked, make_folder
from .machine import machine
from .ranges import Distinct, Seeds, checked
from .result import Result, fingerprint, finished
from .table import markdown
from .train import train

ARMS = ("learned", "rope", "learned+seed_blocks", "rope+seed_blocks", "rope+token_shift", "rope+fir")


@checked
def study(
    arms: Annotated[Sequence[str], Distinct()] = ARMS,
    seeds: Seeds = (0, 1, 2),
    data: str = "enwik8",
    root: Path = Path("data"),
    out: Path = Path("runs/study"),
) -> str:
    """Train every arm with every seed, and return the table of all.

    A run that is finished is not made again, and one that was killed goes on from its checkpoint.

    Args:
        arms: configurations joined by "+", the baseline first; names in recipes/configs or paths,
            as in '[rope, rope+fir]'.
        seeds: of weights, batches and dropout.
        data: as of `train`.
        root: as of `train`.
        out: folder to put the runs, results.json and table.md in.
    """
    splits = load_splits(data, root)
    configs = {arm: replace(load_config(arm_files(arm)), data=data, root=root, resume=True) for arm in arms}
    folders = {arm_label(arm): arm for arm in arms}
    if len(folders) < len(arms):
        raise UsageError(f"arms: expected files of different names, got {list(arms)}; rename one")
    make_folder(out)
    runs: dict[str, list[Result]] = {arm: [] for arm in arms}
    for seed in seeds:  # seeds outermost, so that a slow hour of the machine meets every arm
        for arm, config in configs.items():
            run = replace(config, seed=seed, out=out / f"{arm_label(arm)}-seed{seed}")
            runs[arm].append(finished(run, fingerprint(splits)) or train(run, splits))
    rows = [_row(arm, results, _baseline(arm, runs)) for arm, results in runs.items()]
    summary = {
        "command": shlex.join(["python", *sys.argv]),
        "data": fingerprint(splits),
        "machine": machine(),
        "arms": rows,
        "runs": [asdict(result) for results in runs.values() for result in results],
    }
    table = _table(rows)
    with locked(out, wait=True):  # its runs can be made by several studies at a time
        write_text(out / "results.json", json.dumps(summary, indent=1) + "\n")
        write_text(out / "table.md", table + "\n")
    return table


def _baseline(arm: str, runs: dict[str, list[Result]]) -> list[Result] | None:
    """Return the runs of the arm that this one is laid on: the longest of its beginnings that is an arm too."""
    parts = arm.split("+")
    beginnings = ("+".join(parts[:n]) for n in range(len(parts) - 1, 0, -1))
    return next((runs[beginning] for beginning in beginnings if beginning in runs), None)


def _row(arm: str, results: Sequence[Result], baseline: Sequence[Result] | None) -> dict[str, Any]:
    """Sum up the seeds of one arm; spread is the sample standard deviation (n - 1), None for one seed."""
    losses = [result.val_loss for result in results]
    test = [result.test_loss for result in results]
    first = results[0]
    mean = statistics.mean(losses)
    change = None
    if baseline:
        change = 100 * (mean / statistics.mean(result.val_loss for result in baseline) - 1)
    return {
        "arm": arm_label(arm),
        "positions": first.config["model"]["positions"],
        "lr": first.config["lr"],
        "seeds": [result.config["seed"] for result in results],
        "val_loss": mean,
        "val_loss_spread": _spread(losses),
        "val_bpc": statistics.mean(result.val_bpc for result in results),
        "test_loss": statistics.mean(test),
        "test_loss_spread": _spread(test),
        "best_val_loss": statistics.mean(result.best_val_loss for result in results),
        "parameters": first.parameters,
        "step_ms": statistics.median(result.step_ms for result in results),
        "change_percent": change,
    }


def _spread(losses: Sequence[float]) -> float | None:
    return statistics.stdev(losses) if len(losses) > 1 else None


def _with_spread(mean: float, spread: float | None) -> str:
    return f"{mean:.3f}" + (f" ± {spread:.3f}" if spread is not None else "")


def _table(rows: Sequence[dict[str, Any]]) -> str:
    header = (
        "arm",
        "positions",
        "lr",
        "validation nats",
        "test nats",
        "bpc",
        "parameters",
        "ms a step",
        "change",
    )
    cells = [
        (
            row["arm"],
            row["positions"],
            f"{row['lr']:.0e}".replace("e-0", "e-"),
            _with_spread(row["val_loss"], row["val_loss_spread"]),
            _with_spread(row["test_loss"], row["test_loss_spread"]),
            f"{row['val_bpc']:.3f}",
            f"{row['parameters']:,}",
            f"{row['step_ms']:.0f}",
            "baseline" if row["change_percent"] is None else f"{row['change_percent']:+.1f} %",
        )
        for row in rows
    ]
    return markdown(header, cells)
