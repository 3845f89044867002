"""Any text as three tensors of bytes: train, validation and test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from .corpora import SOURCES, Source, fetch, mismatch
from .errors import DownloadError, UsageError
from .open_compressed import open_compressed
from .stdlib_corpus import stdlib_corpus

_SMALLEST = 20  # bytes: below it a 5 % part is empty

Sources = Mapping[str, tuple[Source, ...]]


class Splits(NamedTuple):
    """A text, cut without shuffling, so that no part has seen another's bytes.

    Shape:
        train, val, test: ``(N,)``, uint8.
    """

    name: str
    train: Tensor
    val: Tensor
    test: Tensor


def load_splits(data: str | Path, root: str | Path = "data", *, sources: Sources = SOURCES) -> Splits:
    """Load a text as bytes, 90 % to train on, 5 % to validate, 5 % to test.

    For enwik8 and text8 these are the standard 90,000,000, 5,000,000 and 5,000,000 bytes; WikiText-2 has
    three files of its own.

    Args:
        data: ``"enwik8"``, ``"text8"``, ``"wikitext2"`` (as :func:`prepare` left them in ``root``),
            ``"python-docs"``, or the path of a file: .gz, .bz2, .xz, .zip (of one file) or plain.
        root: Folder of the prepared corpora.
        sources: Table of the corpora.

    Raises:
        FileNotFoundError: If the corpus is not prepared or the file does not exist.
        UsageError: If a file is damaged, not what it should be, or too small to be split.

    Example:
        >>> splits = load_splits("python-docs")
        >>> splits.train.dtype, len(splits.train) > 10 * len(splits.val)
        (torch.uint8, True)
    """
    name = str(data)
    if name == "python-docs":
        return _split(name, stdlib_corpus())
    if name not in sources:
        path = Path(data)
        if not path.is_file():
            known = ", ".join([*sources, "python-docs"])
            raise FileNotFoundError(f"data must be one of {known}, or an existing file; got {name!r}")
        return _split(path.name, _read(path))
    parts = []
    for source in sources[name]:
        path = Path(root) / source.name
        if not path.is_file():
            raise FileNotFoundError(f"{path} is not there: prepare {name} first, or give a file of your own")
        wrong = mismatch(path, source)
        if wrong:
            raise UsageError(f"{path} is not {source.name}: {wrong}; move it away and prepare {name} again")
        parts.append(_read(path))
    if len(parts) == 1:
        return _split(name, parts[0])
    train, val, test = map(_tensor, parts)
    return Splits(name, train, val, test)


def prepare(
    data: str | Path, root: str | Path = "data", *, sources: Sources = SOURCES, timeout: float = 30.0
) -> Splits:
    """Download what ``data`` names, if it is a corpus that is not there yet, and print its sizes.

    Args:
        data: As in :func:`load_splits`.
        root: Folder to put the corpora in.
        sources: Table of the corpora.
        timeout: Seconds to wait for the server's next bytes.

    Raises:
        DownloadError: If a corpus cannot be downloaded whole and right; nothing is left behind.
    """
    for source in sources.get(str(data), ()):
        fetch(source, root, timeout=timeout)
    splits = load_splits(data, root, sources=sources)
    sizes = (f"{part} {len(text):,}" for part, text in zip(Splits._fields[1:], splits[1:], strict=True))
    print(f"{splits.name}, bytes: {', '.join(sizes)}")
    return splits


def quickstart_splits(
    root: str | Path = "data", *, sources: Sources = SOURCES, timeout: float = 5.0
) -> Splits:
    """Load enwik8 if it is there or can be downloaded, else Python's own text, and say which and why.

    Args:
        root: Folder of the prepared corpora.
        sources: Table of the corpora.
        timeout: Seconds to wait for the server's next bytes.
    """
    (source,) = sources["enwik8"]
    there = (Path(root) / source.name).is_file()
    try:
        fetch(source, root, timeout=timeout)
    except DownloadError as error:
        splits = load_splits("python-docs", root)
        text = "the source and documentation of this Python's standard library (python-docs), NOT enwik8"
        why = f"enwik8 is not in {root}, and {error}"
    else:
        splits = load_splits("enwik8", root, sources=sources)
        text = "enwik8, the first 100 MB of an English Wikipedia dump"
        why = f"it was {'found' if there else 'downloaded and verified'} in {root}"
    size = sum(len(part) for part in splits[1:])
    rule = "=" * 80
    print(f"{rule}\nDATA: {text}, {size:,} bytes\nWHY:  {why}\n{rule}", flush=True)
    return splits


def _read(path: Path) -> bytes:
    with open_compressed(path) as file:
        return file.read()


def _split(name: str, text: bytes) -> Splits:
    if len(text) < _SMALLEST:
        raise UsageError(f"{name} has {len(text)} bytes, too few to be split: give at least {_SMALLEST}")
    whole = _tensor(text)
    first, second = len(text) * 90 // 100, len(text) * 95 // 100
    return Splits(name, whole[:first], whole[first:second], whole[second:])


def _tensor(text: bytes) -> Tensor:
    return torch.frombuffer(bytearray(text), dtype=torch.uint8)
