"""What the recipes' command lines share: commands made of functions, and errors that are said in one line."""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentError
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import TextIOWrapper

from jsonargparse import ActionSubCommands, ArgumentParser, Namespace

from .errors import RecipeError, UsageError

INTERRUPTED = 130  # the exit code that shells give to what Ctrl-C ended
PIPE_CLOSED = 141


def add_commands(
    parser: ArgumentParser, functions: Mapping[str, Callable[..., object]], positional: Collection[str] = ()
) -> ActionSubCommands:
    """Add a command for each function, with the function's arguments, and return what takes more of them.

    Args:
        parser: of the program.
        functions: by the command's name.
        positional: the commands whose required arguments are given without their names.
    """
    commands = parser.add_subcommands()
    for name, function in functions.items():
        summary = (function.__doc__ or "").splitlines()[0]
        command = ArgumentParser(description=summary, exit_on_error=False)
        command.add_function_arguments(
            function, as_group=False, as_positional=name in positional, skip={"sources", "timeout"}
        )
        commands.add_subcommand(name, command, help=summary)
    return commands


def in_full(arguments: Sequence[str], *, lists: Collection[str], flags: Collection[str]) -> list[str]:
    """Return the arguments of a command in the form that jsonargparse takes.

    The study's programs are given ``--seeds 1 2 --long-steps 9 --list``; jsonargparse takes ``--seeds [1, 2]
    --long_steps [9] --list true``, which is left as it is.

    Args:
        arguments: what follows the command.
        lists: the options that take lists; "" stands for the arguments that are given without a name.
        flags: the options that may stand without a value.
    """
    done: list[str] = []
    name, values = "", list[str]()
    for argument in [*arguments, "--end"]:
        if not argument.startswith("--"):
            values.append(argument)
            continue
        if name in flags and not values:
            values = ["true"]
        if name in lists and values and not values[0].startswith("["):
            values = [f"[{', '.join(map(_quoted, values))}]"]
        done += values
        name, equals, value = argument.partition("=")
        name, values = f"--{name[2:].replace('-', '_')}", []
        done.append(name + equals + value)
    return done[:-1]


def _quoted(value: str) -> str:
    try:
        float(value)
    except ValueError:
        return json.dumps(value)
    return value


def parse(parser: ArgumentParser, arguments: Sequence[str]) -> Namespace:
    """Parse arguments with a parser made with exit_on_error=False.

    Raises:
        UsageError: They are not as the parser expects.
    """
    try:
        return parser.parse_args(list(arguments))
    except ArgumentError as error:
        raise UsageError(" ".join(str(error).split())) from error  # in one line
    except (UnicodeError, RecursionError) as error:
        raise UsageError(f"expected a text file of YAML, got one that cannot be read: {error}") from error


@contextmanager
def one_line_errors(after_ctrl_c: str = "start it again") -> Iterator[None]:
    """Say in one line what the user can set right, and exit; let any other error show its traceback.

    Args:
        after_ctrl_c: what the user can do after it.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a table is not lost for a terminal without a ±
    try:
        yield
    except KeyboardInterrupt:
        if os.environ.get("LOCAL_RANK", "0") == "0":
            print(f"\nstopped by Ctrl-C: {after_ctrl_c}", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None
    except BrokenPipeError:  # who read the output, as `head` does, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still to be flushed
        raise SystemExit(PIPE_CLOSED) from None
    except (RecipeError, OSError, FloatingPointError, MemoryError) as error:
        print(f"error: {str(error) or type(error).__name__}", file=sys.stderr)
        raise SystemExit(2 if isinstance(error, UsageError) else 1) from error
