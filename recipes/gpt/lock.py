"""A folder belongs to one run at a time."""

from __future__ import annotations

import errno
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from .errors import CheckpointError, UsageError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}  # some network file systems


def make_folder(path: Path) -> None:
    """Make a folder, where it is not there yet.

    Raises:
        UsageError: A file is in its place.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UsageError(f"out: expected a folder, got {path}, where a file is; give another") from error


@contextmanager
def locked(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Keep other processes out of a folder, which is made where it is not there.

    The lock is on an open file, so it ends with this process however that ends; the file stays, and means nothing.
    Where the system has no such lock, a warning says so.

    Args:
        folder: the folder.
        wait: whether to wait for a process that has it, which is refused otherwise.

    Raises:
        CheckpointError: Another process has it.
        UsageError: A file is in the folder's place.
    """
    make_folder(folder)
    with (folder / LOCK).open("a+") as file:
        try:
            _lock(file.fileno(), wait=wait)
        except BlockingIOError as error:
            file.seek(0)
            raise CheckpointError(
                f"expected a folder that no other process uses, got {folder}, where {file.read() or 'one'} is at work; "
                "wait for it or stop it, or give another --out"
            ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()} of {socket.gethostname()}")
        file.flush()
        yield


def _lock(file: int, *, wait: bool) -> None:
    unlocked = "expected file locks, got a system without: a second run in one folder would not be noticed"
    if fcntl is None:
        warnings.warn(unlocked, stacklevel=2)
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        warnings.warn(unlocked, stacklevel=2)


def claim(path: Path) -> IO[str] | None:
    """Return an open file whose lock is this process's, and that of every process that it is passed on to; None: taken.

    The lock ends when the last process that has the file open has closed it, or ended, however that ends.
    """
    make_folder(path.parent)
    file = path.open("a+")
    try:
        _lock(file.fileno(), wait=False)
    except BlockingIOError:
        file.close()
        return None
    return file
