"""The text that every machine has: Python's own standard library and its documentation."""

from __future__ import annotations

import hashlib
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics

_LIMIT = 6_000_000
_LEFT_OUT = {
    "__phello__",
    "__pycache__",
    "dist-packages",
    "encodings",  # tables of characters
    "ensurepip",
    "idlelib",
    "lib2to3",
    "site-packages",
    "test",
    "tests",
    "turtledemo",
}


def stdlib_corpus(limit: int = _LIMIT) -> bytes:
    """Return up to ``limit`` bytes of the standard library's source and of Python's help topics, well mixed.

    Source files and help topics are documents, ordered by the hash of their names: the order does not change
    from run to run, and the first 90 % and the last 5 % are alike. The text differs between versions of
    Python, so losses on it can be compared on one version only. Nothing outside the standard library's folder
    is read, and nothing that the build of this Python wrote there.

    Args:
        limit: Bytes after which it stops, at the end of a document.

    Raises:
        FileNotFoundError: If this Python comes without the source of its library.
    """
    named = sorted(_documents(), key=lambda document: hashlib.sha256(document[0].encode()).digest())
    if not any(name.endswith(".py") for name, _ in named):
        raise FileNotFoundError(f"no library source in {_folder()}; train on a file of your own")
    text = bytearray()
    for _, document in named:
        if len(text) + len(document) > limit:
            break
        text += document
    return bytes(text)


def _documents() -> Iterator[tuple[str, bytes]]:
    """Yield every document's name and text."""
    for topic, text in topics.items():
        yield f"topic:{topic}", text.encode() + b"\n"
    folder = _folder()
    for path in folder.rglob("*.py"):
        name = path.relative_to(folder)
        outside = not path.resolve().is_relative_to(folder)  # a link to elsewhere
        generated = name.name.startswith("_sysconfigdata") or name.parts[0].startswith("config-")
        if outside or generated or name.parts[0] == "pydoc_data" or _LEFT_OUT.intersection(name.parts):
            continue
        yield name.as_posix(), path.read_bytes()


def _folder() -> Path:
    return Path(sysconfig.get_path("stdlib")).resolve()
