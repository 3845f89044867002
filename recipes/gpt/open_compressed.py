"""One way to open a file that may be compressed."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import IO

Readable = IO[bytes] | BufferedIOBase


@contextmanager
def open_compressed(path: Path) -> Iterator[Readable]:
    """Open a file for reading, decompressing .gz, .bz2, .xz and .zip; anything else is read as it is.

    Raises:
        ValueError: If the file is damaged or cut short, or a .zip does not hold exactly one plain file.
    """
    with ExitStack() as stack:
        try:
            yield _open(path, stack)
        except (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} is damaged or cut short ({error}); get it again") from error
        except OSError as error:
            if error.errno is not None:  # the file system's; bz2 and gzip report damage without a number
                raise
            raise ValueError(f"{path} is damaged ({error}); get it again") from error


def _open(path: Path, stack: ExitStack) -> Readable:
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return stack.enter_context(gzip.open(path, "rb"))
    if suffix == ".bz2":
        return stack.enter_context(bz2.open(path, "rb"))
    if suffix == ".xz":
        return stack.enter_context(lzma.open(path, "rb"))
    if suffix != ".zip":
        return stack.enter_context(path.open("rb"))
    archive = stack.enter_context(zipfile.ZipFile(path))
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) != 1:
        names = [member.filename for member in members[:4]]
        raise ValueError(f"{path} must hold exactly one file, got {len(members)} {names}; unpack it")
    if members[0].flag_bits & 1:
        raise ValueError(f"{path} is encrypted; unpack it first")
    return stack.enter_context(archive.open(members[0]))
