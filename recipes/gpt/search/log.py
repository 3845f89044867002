"""The log of a search: one JSON object a line, one for each trial and seed, whatever came of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ..errors import CheckpointError

LOG = "trials.jsonl"
REFERENCE = "reference"

Line = dict[str, Any]


def read_log(file: Path) -> list[Line]:
    """Return the lines of a log; a last line that a kill cut off is left out.

    Raises:
        CheckpointError: Another line is damaged.
    """
    if not file.exists():
        return []
    lines: list[Line] = []
    for number, text in enumerate(file.read_text().split("\n")[:-1], 1):
        try:
            line = json.loads(text)
            lines.append({"trial": str(line["trial"]), "seed": int(line["seed"]), **line})
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"expected a trial in line {number} of {file}, got {text[:20]!r}; bring the file back as it was"
            ) from error
    return lines


def append(file: Path, line: Line) -> None:
    """Bring one line to the disk, after cutting off a last line that a kill left unfinished."""
    with file.open("a+b") as log:
        log.seek(0)
        log.truncate(log.read().rfind(b"\n") + 1)
        log.write(json.dumps(line).encode() + b"\n")
        log.flush()
        os.fsync(log.fileno())


def find(lines: list[Line], trial: str, seed: int) -> Line | None:
    """Return the line of a trial and seed."""
    return next((line for line in lines if (line["trial"], line["seed"]) == (trial, seed)), None)
