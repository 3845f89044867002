"""The command line of a recipe whose models are small: commands of functions, and a number of threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import torch
from jsonargparse import ArgumentParser

from .command_line import add_commands, one_line_errors, parse
from .ranges import Range, checked


@checked
def set_threads(threads: Annotated[int, Range(1, 1024)]) -> None:
    """Set the number of torch's threads."""
    torch.set_num_threads(threads)


def run_command(
    prog: str, description: str, commands: Mapping[str, Callable[..., str]], arguments: Sequence[str]
) -> None:
    """Run one command, and print what it returns; without arguments, the command `study`."""
    parser = ArgumentParser(prog=prog, description=description, exit_on_error=False)
    parser.add_argument("--threads", type=int, default=1, help="threads of torch; the models are small")
    add_commands(parser, commands)
    with one_line_errors():
        parsed = parse(parser, arguments or ["study"])
        set_threads(parsed.threads)
        print(commands[parsed.subcommand](**vars(parsed[parsed.subcommand])))
