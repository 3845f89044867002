"""What the recipes' command lines share: commands made of functions, and errors that are said in one line."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentError
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import TextIOWrapper

from jsonargparse import ActionSubCommands, ArgumentParser, Namespace

from .errors import RecipeError, UsageError

INTERRUPTED = 130  # the exit code that shells give to what Ctrl-C ended
PIPE_CLOSED = 141


def add_commands(parser: ArgumentParser, functions: Mapping[str, Callable[..., object]]) -> ActionSubCommands:
    """Add a command for each function, with the function's arguments, and return what takes more of them."""
    commands = parser.add_subcommands()
    for name, function in functions.items():
        summary = (function.__doc__ or "").splitlines()[0]
        command = ArgumentParser(description=summary, exit_on_error=False)
        command.add_function_arguments(function, as_group=False, skip={"sources", "timeout"})
        commands.add_subcommand(name, command, help=summary)
    return commands


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
