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

from .errors import UsageError

Readable = IO[bytes] | BufferedIOBase


@contextmanager
def open_compressed(path: Path) -> Iterator[Readable]:
    """Open a file for reading, decompressing .gz, .bz2, .xz and .zip; anything else is read as it is.

    Raises:
        UsageError: If the file is damaged, cut short or packed in an unknown way, or a .zip does not hold exactly one
            plain file.
    """
    with ExitStack() as stack:
        try:
            yield _open(path, stack)
        except (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
            why = str(error) or type(error).__name__
            raise UsageError(f"{path} is damaged or cut short ({why}); get it again") from error
        except NotImplementedError as error:  # zipfile's, of what other programs can pack
            raise UsageError(
                f"{path} cannot be unpacked here ({error}); unpack it with what packed it"
            ) from error
        except OSError as error:
            if error.errno is not None:  # the file system's; bz2 and gzip report damage without a number
                raise
            raise UsageError(f"{path} is damaged ({error}); get it again") from error


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
        raise UsageError(f"{path} must hold exactly one file, got {len(members)} {names}; unpack it")
    if members[0].flag_bits & 1:
        raise UsageError(f"{path} is encrypted; unpack it first")
    return stack.enter_context(archive.open(members[0]))
