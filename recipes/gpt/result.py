"""What a finished run has to show."""

from __future__ import annotations

import json
import statistics
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lightning.fabric import Fabric

from .checkpoint import check_same_run, write_text
from .config import TrainConfig
from .data import Splits
from .errors import CheckpointError
from .metrics import LOG, bits, read_metrics

RESULT = "result.json"


@dataclass(frozen=True)
class Result:
    """What a finished run has to show.

    Args:
        config: the run's configuration, as plain values.
        data: name, size and checksum of the data.
        parameters: number of trained parameters, tied ones counted once.
        val_loss: final loss over the whole validation split, nats a byte.
        val_bpc: the same in bits a byte.
        test_loss: final loss over the whole test split, nats a byte; no choice is made by it.
        best_val_loss: the lowest of the run, nats a byte.
        best_step: the step of that.
        step_ms: time of one update of the weights and, where it is due, of the hyperparameters, in milliseconds: the
            mean between two lines of the log, the median of these; validation and checkpoints left out.
    """

    config: dict[str, Any]
    data: str
    parameters: int
    val_loss: float
    val_bpc: float
    test_loss: float
    best_val_loss: float
    best_step: int
    step_ms: float


def sum_up(fabric: Fabric, config: TrainConfig, data: str, parameters: int, *, test_loss: float) -> Result:
    """Sum a run up from its log, and leave that beside it as result.json."""
    fabric.barrier()  # rank 0 has written all of it
    records = read_metrics(config.out / LOG)
    losses = {record["step"]: record["val_loss"] for record in records if "val_loss" in record}
    times = [record["step_ms"] for record in records if "step_ms" in record]
    if config.steps not in losses or not times:
        raise CheckpointError(
            f"expected times of steps, and a validation loss of step {config.steps}, in {config.out / LOG}, got none; "
            "bring the file back as it was, or start a new run in another --out"
        )
    best = min(losses, key=losses.__getitem__)
    result = Result(
        config=plain(config),
        data=data,
        parameters=parameters,
        val_loss=losses[config.steps],
        val_bpc=bits(losses[config.steps]),
        test_loss=test_loss,
        best_val_loss=losses[best],
        best_step=best,
        step_ms=statistics.median(times),
    )
    if fabric.is_global_zero:
        write_text(config.out / RESULT, json.dumps(asdict(result), indent=1) + "\n")
    fabric.print(f"validation {result.val_loss:.4f} nats, {result.val_bpc:.4f} bpc")
    return result


def read_result(path: Path) -> Result:
    """Return the result that a run left.

    Raises:
        CheckpointError: The file is damaged.
    """
    try:
        return Result(**json.loads(path.read_bytes()))
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"expected the result of a run in {path}, got something else ({error}); delete the file, and the run's "
            "checkpoint is summed up again"
        ) from error


def finished(config: TrainConfig, data: str) -> Result | None:
    """Return the result of a run that is done already.

    Args:
        config: the run's.
        data: `fingerprint` of its data.

    Raises:
        CheckpointError: The result in its folder is of another configuration or other data.
    """
    file = config.out / RESULT
    if not file.exists():
        return None
    result = read_result(file)
    check_same_run({**result.config, "data (read)": result.data}, {**plain(config), "data (read)": data})
    return result


def plain(config: TrainConfig) -> dict[str, Any]:
    """Return a configuration as JSON's values, which a checkpoint can hold."""
    values: dict[str, Any] = json.loads(json.dumps(asdict(config), default=str))
    return values


def fingerprint(splits: Splits) -> str:
    """Return what tells two data sets apart: name, sizes, and one checksum of all parts."""
    checksum = 0
    for part in (splits.train, splits.val, splits.test):
        checksum = zlib.crc32(part.numpy().data, checksum)
    sizes = (
        f"{len(splits.train):,} bytes to train, {len(splits.val):,} to validate, {len(splits.test):,} to test"
    )
    return f"{splits.name}, {sizes}, crc32 {checksum:08x}"
