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
from typing import Annotated

import openmp  # noqa: F401  # before torch, which reads what it sets
import torch
from gpt.command_line import add_commands, one_line_errors, parse
from gpt.ranges import Range, checked
from jsonargparse import ArgumentParser
from ppg.study import cost, report, study, tune

DESCRIPTION = "Forecast a pulse wave, with and without dsptorch's layers. Without a command: the full study."

COMMANDS: dict[str, Callable[..., str]] = {"study": study, "tune": tune, "cost": cost, "report": report}


@checked
def set_threads(threads: Annotated[int, Range(1, 1024)]) -> None:
    """Set the number of torch's threads."""
    torch.set_num_threads(threads)


def main(arguments: Sequence[str]) -> None:
    """Run one command; without arguments, the study."""
    parser = ArgumentParser(prog="ppg_forecast.py", description=DESCRIPTION, exit_on_error=False)
    parser.add_argument("--threads", type=int, default=1, help="threads of torch; the models are small")
    add_commands(parser, COMMANDS)
    with one_line_errors():
        parsed = parse(parser, arguments or ["study"])
        set_threads(parsed.threads)
        print(COMMANDS[parsed.subcommand](**vars(parsed[parsed.subcommand])))


if __name__ == "__main__":
    main(sys.argv[1:])
