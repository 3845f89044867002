"""Errors that the user can set right: the command line says them in one line. Any other shows its traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class RecipeError(Exception):
    """Something that the user can set right."""


class UsageError(RecipeError, ValueError):
    """An argument, a configuration or a file of data that cannot be used."""


class CheckpointError(RecipeError, RuntimeError):
    """A checkpoint, log or result that cannot be read or is of another run, or a folder with a run in it."""


class DownloadError(RecipeError, OSError):
    """A corpus could not be fetched, or what came is not it."""


class LeakError(RecipeError, RuntimeError):
    """A model that looks ahead."""


@contextmanager
def blame(where: str) -> Iterator[None]:
    """Turn a refusal by a library, of what the user gave, into a `UsageError` that says where it was given."""
    try:
        yield
    except RecipeError:
        raise
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:  # torch raises all of these
        raise UsageError(f"{where}: {error}") from error
