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
import torch
from jsonargparse import ArgumentParser
from ppg.study import cost, report, study, tune
from ppg.train import LeakError

DESCRIPTION = "Forecast a pulse wave, with and without dsptorch's layers. Without a command: the full study."

# What a user can set right; anything else is a bug, and shows its traceback.
EXPECTED = (FileNotFoundError, FloatingPointError, LeakError, ValueError)


def main(arguments: Sequence[str]) -> None:
    """Run one command; without arguments, the study."""
    commands: dict[str, Callable[..., str]] = {"study": study, "tune": tune, "cost": cost, "report": report}
    parser = ArgumentParser(prog="ppg_forecast.py", description=DESCRIPTION)
    parser.add_argument("--threads", type=int, default=1, help="threads of torch; the models are small")
    subcommands = parser.add_subcommands()
    for name, function in commands.items():
        summary = (function.__doc__ or "").splitlines()[0]
        subparser = ArgumentParser(description=summary)
        subparser.add_function_arguments(function, as_group=False)
        subcommands.add_subcommand(name, subparser, help=summary)

    parsed = parser.parse_args(arguments or ["study"])
    try:
        torch.set_num_threads(parsed.threads)
        print(commands[parsed.subcommand](**vars(parsed[parsed.subcommand])))
    except EXPECTED as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main(sys.argv[1:])
