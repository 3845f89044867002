"""Forecast a pulse wave a quarter of a second ahead, with and without dsptorch's layers.

    python recipes/ppg_forecast.py                     the full study, some ten minutes of one CPU core
    python recipes/ppg_forecast.py study --arms '[plain, multirate]' --seeds '[0]'
    python recipes/ppg_forecast.py tune                the learning rate, by the plain model alone
    python recipes/ppg_forecast.py cost --out DIR      the time of a step of every arm of a study
    python recipes/ppg_forecast.py report --out DIR    table and figure anew, from DIR/results.json

The recording is in the package heartpy (pip install 'dsptorch[recipes]'); nothing is downloaded.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import openmp  # noqa: F401  # before torch, which reads what it sets
from gpt.small_study import run_command
from ppg.study import cost, report, study, tune

DESCRIPTION = "Forecast a pulse wave, with and without dsptorch's layers. Without a command: the full study."

COMMANDS: dict[str, Callable[..., str]] = {"study": study, "tune": tune, "cost": cost, "report": report}


def main(arguments: Sequence[str]) -> None:
    """Run one command; without arguments, the study."""
    run_command("ppg_forecast.py", DESCRIPTION, COMMANDS, arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
