"""Files out of Debian's packages, with the standard library alone."""

from __future__ import annotations

import io
import lzma
import tarfile
from collections.abc import Iterator
from pathlib import Path

from .errors import UsageError


def packaged(package: Path, suffix: str, cure: str) -> Iterator[tuple[Path, bytes]]:
    """Yield the files of a .deb whose names end with a suffix: their paths in the package, and what is in them.

    Args:
        package: the .deb.
        suffix: as ".wav".
        cure: what the user can do where the package is damaged.

    Raises:
        UsageError: It is not a Debian package, or a damaged one.
    """
    try:
        data = dict(_members(package.read_bytes()))["data.tar.xz"]
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:xz") as archive:
            for member in archive:
                file = (
                    archive.extractfile(member) if member.isfile() and member.name.endswith(suffix) else None
                )
                if file is not None:
                    yield Path(member.name), file.read()
    except (KeyError, ValueError, EOFError, tarfile.TarError, lzma.LZMAError, OSError) as error:
        raise UsageError(
            f"expected a Debian package, got {package}, which is damaged or none; {cure}"
        ) from error


def _members(archive: bytes) -> Iterator[tuple[str, bytes]]:
    """The files of an `ar` archive, which a .deb is."""
    if not archive.startswith(b"!<arch>\n"):
        raise ValueError("not an ar archive")
    at = 8
    while at + 60 <= len(archive):
        name, size = archive[at : at + 16].decode().strip(" /"), int(archive[at + 48 : at + 58])
        yield name, archive[at + 60 : at + 60 + size]
        at += 60 + size + size % 2
