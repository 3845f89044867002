"""Tell the initials of spoken Mandarin syllables, behind different front ends.

    python recipes/spoken_syllables.py study --source gcin-voice.deb     the full study
    python recipes/spoken_syllables.py study --source gcin-voice.deb --arms '[mel, gabor]' --seeds '[0]' --epochs 5
    python recipes/spoken_syllables.py cost --source gcin-voice.deb      the time of every front end of a study
    python recipes/spoken_syllables.py report                            table and figure anew

The sounds are in Debian's package gcin-voice: `apt-get download gcin-voice` brings the .deb, 7.7 MB; where the package
is installed, --source can be left out.
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
from syllables.study import cost, report, study

DESCRIPTION = (
    "Tell the initials of spoken syllables. Without a command: the full study of the installed package."
)

COMMANDS: dict[str, Callable[..., str]] = {"study": study, "cost": cost, "report": report}


@checked
def set_threads(threads: Annotated[int, Range(1, 1024)]) -> None:
    """Set the number of torch's threads."""
    torch.set_num_threads(threads)


def main(arguments: Sequence[str]) -> None:
    """Run one command; without arguments, the study."""
    parser = ArgumentParser(prog="spoken_syllables.py", description=DESCRIPTION, exit_on_error=False)
    parser.add_argument("--threads", type=int, default=1, help="threads of torch; the models are small")
    add_commands(parser, COMMANDS)
    with one_line_errors():
        parsed = parse(parser, arguments or ["study"])
        set_threads(parsed.threads)
        print(COMMANDS[parsed.subcommand](**vars(parsed[parsed.subcommand])))


if __name__ == "__main__":
    main(sys.argv[1:])
