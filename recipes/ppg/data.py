"""A pulse wave (photoplethysmogram, PPG) that the package heartpy ships, in three parts in the order of time.

`data3.csv` of heartpy 1.2.7: 68,476 samples of one wearer, 682 s at about 100.4 Hz, in counts of a converter whose
values end at 978, with motion artefacts and drop-outs. The file is read from the installed package, which is not
imported.

Source: P. van Gent, H. Farah, N. van Nes, B. van Arem, HeartPy: A novel heart rate algorithm for the analysis of noisy
signals, Transportation Research Part F 66, 2019, p. 368. MIT licence (the wheel's LICENSE file).
"""

from __future__ import annotations

import csv
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import NamedTuple

import torch
from gpt.errors import UsageError
from torch import Tensor

FILE = "heartpy/data/data3.csv"
RATE = 100.4  # samples a second: 68,476 in the 681.9 s between the first and the last time stamp
TRAIN, VAL = 0.6, 0.2  # shares of the recording; the rest is the test part


class Recording(NamedTuple):
    """A signal, and where its parts end.

    Args:
        signal: In units of the training part's standard deviation, about its mean: (time,).
        mean: That mean, in counts.
        scale: That standard deviation, in counts.
        train_end: The first sample after the training part.
        val_end: The first sample after the validation part.
    """

    signal: Tensor
    mean: float
    scale: float
    train_end: int
    val_end: int

    @property
    def parts(self) -> dict[str, tuple[int, int]]:
        """First sample, and first sample after it, of each part."""
        return {
            "train": (0, self.train_end),
            "val": (self.train_end, self.val_end),
            "test": (self.val_end, len(self.signal)),
        }


def load() -> Recording:
    """Return the recording of the installed heartpy.

    Raises:
        FileNotFoundError: heartpy is not installed, or has no such file.
        UsageError: The file is not as it was in 1.2.7.
    """
    try:
        path = Path(str(distribution("heartpy").locate_file(FILE)))
    except PackageNotFoundError as error:
        raise FileNotFoundError(
            f"expected the package heartpy, which ships {FILE}, got none; pip install 'dsptorch[recipes]'"
        ) from error
    return split(read_counts(path))


def read_counts(path: Path) -> Tensor:
    """Return the column `hr` of a CSV file: (time,).

    Raises:
        FileNotFoundError: There is no such file.
        UsageError: It has no such column, or no finite numbers in it.
    """
    cure = "pip install heartpy==1.2.7"
    if not path.is_file():
        raise FileNotFoundError(f"expected a recording in {path}, got no file; {cure}")
    with path.open(newline="") as file:
        rows = csv.DictReader(file)
        if "hr" not in (rows.fieldnames or ()):
            raise UsageError(f"expected a column 'hr' in {path.name}, got {rows.fieldnames}; {cure}")
        try:
            counts = torch.tensor([float(row["hr"]) for row in rows])
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"expected numbers in {path.name}, line {rows.line_num}: {error}; {cure}"
            ) from error
    if not torch.isfinite(counts).all():
        raise UsageError(f"expected finite samples in {path.name}, got NaN or infinity; {cure}")
    return counts


def split(counts: Tensor) -> Recording:
    """Cut a signal in the order of time, and scale it by its training part alone: (time,) -> a recording.

    Raises:
        UsageError: The training part does not move.
    """
    train_end, val_end = round(TRAIN * len(counts)), round((TRAIN + VAL) * len(counts))
    train = counts[:train_end].double()
    if train_end < 2 or train.std() == 0:
        raise UsageError(
            f"expected a signal that moves, got {len(counts)} samples, {counts[:3].tolist()} ..."
        )
    mean, scale = train.mean().item(), train.std().item()
    return Recording(((counts.double() - mean) / scale).float(), mean, scale, train_end, val_end)
