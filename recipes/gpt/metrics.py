"""The log of a run: one JSON object a line, and TensorBoard where it is installed."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from .checkpoint import write_text
from .errors import CheckpointError

LOG = "metrics.jsonl"
_TAIL = 1 << 14  # bytes that hold several records

Record = dict[str, Any]


def bits(nats: float) -> float:
    """Return a loss in nats in bits; for a byte model these are bits per character (bpc)."""
    return nats / math.log(2)


def flat(record: Mapping[str, Any]) -> dict[str, float]:
    """Return the record of a meta-update as numbers: meta_loss, and value/NAME and hypergradient/NAME of each."""
    numbers = {"meta_loss": record["meta_loss"]}
    for kind in ("value", "hypergradient"):
        numbers |= {f"{kind}/{name}": number for name, number in record[kind].items()}
    return numbers


def read_metrics(path: Path, *, until: float = math.inf) -> list[Record]:
    """Return the records of a log up to a step; an end that a kill or a power failure cut off is left out.

    Raises:
        CheckpointError: A line is damaged, and records that are asked for follow it.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]  # what follows the last newline was not finished
    records: list[Record] = []
    damaged = None
    for number, line in enumerate(lines, 1):
        record = _record(line)
        if record is None:
            damaged = damaged or number
        elif record["step"] > until:
            break
        elif damaged:
            raise CheckpointError(
                f"expected a record in line {damaged} of {path}, got {lines[damaged - 1][:20]!r}; bring the file "
                "back as it was, or start a new run in another --out"
            )
        else:
            records.append(record)
    return records


def read_last(path: Path) -> Record | None:
    """Return the last record of a log that may still be written to, without reading the rest of it."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
        lines = file.read().split(b"\n")[:-1]
    return next((record for line in reversed(lines) if (record := _record(line))), None)


def _record(line: bytes) -> Record | None:
    """Return the record in a line of a log, if there is one."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get("step"), int) else None


class Metrics:
    """Append records to a run's log, after cutting it back to the step that the run starts from.

    Args:
        folder: folder of the run.
        start: the step of the checkpoint that the run continues from, 0 for a new run.
        active: False on all ranks but the first, where nothing is written.
    """

    def __init__(self, folder: Path, start: int, *, active: bool = True) -> None:
        self._file: IO[str] | None = None
        self._board: Any = None
        if not active:
            return
        path = folder / LOG
        kept = read_metrics(path, until=start)
        write_text(path, "".join(json.dumps(record) + "\n" for record in kept))
        self._file = path.open("a")
        if find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  (optional, and slow to import)

            self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=start + 1)

    def write(self, step: int, **values: float) -> None:
        """Append one record: the number of updates made, and what was measured then."""
        if self._file:
            self._file.write(json.dumps({"step": step, **values}) + "\n")
            self._file.flush()
        if self._board:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def sync(self) -> None:
        """Bring all records to the disk."""
        if self._file:
            os.fsync(self._file.fileno())

    def __enter__(self) -> Metrics:
        return self

    def __exit__(self, *_: object) -> None:
        for file in (self._file, self._board):
            if file:
                file.close()
