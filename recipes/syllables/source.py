"""Where the voices come from: Debian's package gcin-voice, as a file, a folder, or installed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from gpt.debian import packaged
from gpt.errors import UsageError

INSTALLED = Path("/usr/share/gcin-voice/ogg")
DIGEST = "e06b241cd4c4b1584d73854d0fa1c1cc0a21ad9e9cdeb322258b2373e0ab0815"
CLIPS = 2358
HOW = (
    "get the package with `apt-get download gcin-voice` and give the .deb (or the folder ogg in it) as --source, or "
    "install it with `apt-get install gcin-voice`"
)


def clips(source: Path | None) -> dict[str, bytes]:
    """Return every sound file, Ogg Vorbis, by "syllable/voice", after checking that all are what they were.

    Args:
        source: The .deb, or the folder with a folder for each syllable; None: the installed package.

    Raises:
        UsageError: They are not there, or are not the package's.
    """
    found = dict(sorted(_read(source).items()))
    digest = hashlib.sha256()
    for name, data in found.items():
        digest.update(name.encode() + hashlib.sha256(data).digest())
    if digest.hexdigest() != DIGEST:
        raise UsageError(
            f"expected the {CLIPS} sounds of gcin-voice in {source or INSTALLED}, got {len(found)}, or other ones "
            f"(checksum {digest.hexdigest()[:12]}); {HOW}"
        )
    return found


def _read(source: Path | None) -> Mapping[str, bytes]:
    place = INSTALLED if source is None else source
    if place.is_dir():
        return {
            f"{path.parent.name}/{path.stem}": path.read_bytes()
            for path in place.rglob("*/*.ogg")
            if path.is_file()
        }
    if not place.is_file():
        raise UsageError(f"expected gcin-voice's sounds, got no {place}; {HOW}")
    return {f"{path.parent.name}/{path.stem}": data for path, data in packaged(place, ".ogg", HOW)}
