"""Download of the standard corpora: verified by size and checksum, and put in place whole or not at all."""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import tempfile
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import IO, NamedTuple

from tqdm import tqdm

from .errors import DownloadError, UsageError
from .open_compressed import open_compressed

_CHUNK = 1 << 18


class Source(NamedTuple):
    """One file of a corpus.

    Args:
        url: Where it comes from; a ``.zip`` holds exactly this one file.
        name: Where it goes, relative to the data folder.
        size: Unpacked bytes; None where it is not known.
        digest: ``"algorithm:hexadecimal"`` of the unpacked bytes; None where it is not known.
        packed_size: Bytes of the download itself; None where it is not known.
    """

    url: str
    name: str
    size: int | None = None
    digest: str | None = None
    packed_size: int | None = None


_WIKITEXT2 = "https://raw.githubusercontent.com/pytorch/examples/main/word_language_model/data/wikitext-2/"

# Each corpus is one file, to be split 90/5/5, or its own train, validation and test files in this order.
SOURCES: Mapping[str, tuple[Source, ...]] = {
    "enwik8": (
        Source(
            "http://mattmahoney.net/dc/enwik8.zip",
            "enwik8",
            size=100_000_000,
            digest="sha1:57b8363b814821dc9d47aa4d41f58733519076b2",
            packed_size=36_445_475,
        ),
    ),
    "text8": (
        Source(
            "http://mattmahoney.net/dc/text8.zip",
            "text8",
            size=100_000_000,
            digest="md5:3bea1919949baf155f99411df5fada7e",
        ),
    ),
    "wikitext2": (
        # No checksum of the training part is known to us: only its length is held against the server's word.
        Source(_WIKITEXT2 + "train.txt", "wikitext2/train.txt"),
        Source(
            _WIKITEXT2 + "valid.txt",
            "wikitext2/valid.txt",
            size=1_121_681,
            digest="sha256:f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8",
        ),
        Source(
            _WIKITEXT2 + "test.txt",
            "wikitext2/test.txt",
            size=1_256_449,
            digest="sha256:d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0",
        ),
    ),
}


def fetch(source: Source, root: str | Path, *, timeout: float = 30.0) -> Path:
    """Return the path of a verified file, downloading it if it is not there.

    The download goes to a temporary folder beside the target, is unpacked and verified there, flushed to the
    disk, and renamed to the target in one step. Whatever goes wrong before leaves nothing behind.

    Args:
        source: What to fetch.
        root: The data folder; created if needed.
        timeout: Seconds to wait for the server's next bytes.

    Raises:
        DownloadError: If the server cannot be reached, stops early, or sends something else.
        UsageError: If a file is already there and is not the right one (it is left as it is).
    """
    target = Path(root) / source.name
    if target.exists():
        wrong = mismatch(target, source)
        if wrong:
            raise UsageError(f"{target} is not {source.name}: {wrong}; move it away to download it again")
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
        ready = Path(folder) / source.url.rsplit("/", 1)[-1]
        _download(source, ready, timeout)
        if ready.suffix == ".zip":
            ready = _unzip(ready, ready.with_suffix(""))
        wrong = mismatch(ready, source)
        if wrong:
            raise DownloadError(f"{source.url} is not {source.name}: {wrong}; try again later")
        os.replace(ready, target)
    return target


def mismatch(path: Path, source: Source) -> str | None:
    """Say how a file differs from what it should be, or None if it is right as far as that is known."""
    size = path.stat().st_size
    if size == 0 or size != (source.size or size):
        return f"expected {source.size or 'some'} bytes, got {size}"
    if source.digest is None:
        return None
    algorithm, _, expected = source.digest.partition(":")
    hasher = hashlib.new(algorithm)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            hasher.update(chunk)
    got = hasher.hexdigest()
    return None if got == expected else f"expected {algorithm} {expected}, got {got}"


def _download(source: Source, path: Path, timeout: float) -> None:
    try:
        with urllib.request.urlopen(source.url, timeout=timeout) as answer, path.open("wb") as file:
            promised = int(answer.headers.get("Content-Length") or 0) or source.packed_size
            with tqdm(total=promised, desc=source.name, unit="B", unit_scale=True) as bar:
                while chunk := answer.read(_CHUNK):
                    file.write(chunk)
                    bar.update(len(chunk))
            got = file.tell()
            _flush(file)
    except (OSError, http.client.HTTPException) as error:
        raise DownloadError(
            f"cannot download {source.url}: {error}; fetch it elsewhere and put it, unpacked, "
            f"at {source.name} in the data folder, or train on a file of your own"
        ) from error
    expected = source.packed_size or promised
    if expected is not None and got != expected:
        raise DownloadError(f"{source.url} gave {got} bytes of {expected}; try again")


def _unzip(packed: Path, unpacked: Path) -> Path:
    try:
        with open_compressed(packed) as source, unpacked.open("wb") as file:
            shutil.copyfileobj(source, file, _CHUNK)
            _flush(file)
    except UsageError as error:
        raise DownloadError(f"the download cannot be unpacked: {error}") from error
    return unpacked


def _flush(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())
