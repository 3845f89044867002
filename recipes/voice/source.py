"""Where the voices come from: Debian's prompts for the exchange Asterisk, as packages, as a folder, or installed.

Each voice is one speaker of one language, some 25 minutes at 8 kHz, 16 bits. Licences: CC BY-SA 3.0 (en, fr, Menardi),
CC BY 3.0 (it, ru). Nothing of them is in this repository.
"""

from __future__ import annotations

import hashlib
import io
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from gpt.debian import packaged
from gpt.errors import UsageError
from torch import Tensor
from tqdm import tqdm

INSTALLED = Path("/usr/share/asterisk/sounds")
RATE = 8000


@dataclass(frozen=True)
class Voice:
    """A speaker.

    Args:
        label: what tables call it.
        package: Debian's package.
        folder: the folder of its prompts.
        prompts: their number, without those of silence.
        digest: of their names and samples.
    """

    label: str
    package: str
    folder: str
    prompts: int
    digest: str


VOICES = {
    "en": Voice(
        "English", "asterisk-core-sounds-en-wav", "en_US_f_Allison", 558,
        "78f60ecc8babd5976e063e4249d4f53c2c51009bdf32d726d28c38d637e198c8",
    ),
    "it": Voice(
        "Italian", "asterisk-core-sounds-it-wav", "it_IT_m_Carlo", 589,
        "65ad99d52b4194803a29e3db12d8d4ff31c8edff42f0bf31d5239b13be0968db",
    ),
    "ru": Voice(
        "Russian", "asterisk-core-sounds-ru-wav", "ru_RU_f_IvrvoiceRU", 566,
        "ca2a5b376fc14a77032f5d96ad82f21d572429d9791a4b0b4ca071531019a6f3",
    ),
    "fr": Voice(
        "French", "asterisk-core-sounds-fr-wav", "fr_CA_f_June", 551,
        "d9eb1b7c0fb735c73891115c99c377c482b4af8ad68778830693e24f4a019802",
    ),
    "menardi": Voice(
        "Italian, another speaker", "asterisk-prompt-it-menardi-wav", "it_IT_f_Menardi", 545,
        "f70c7267c3e84ed665e9538ff4f5b02472af75b4cedbcf94a1d93f50c7eafb90",
    ),
}  # fmt: skip

TRAINED = ("en", "it", "ru")
UNSEEN = ("fr", "menardi")
HOW = (
    f"get the packages with `apt-get download {' '.join(voice.package for voice in VOICES.values())}` and give the "
    "folder that they are in as --source, or install them"
)


def prompts(source: Path | None) -> dict[str, dict[str, Tensor]]:
    """Return the samples of every prompt, int16, by voice and name, after checking that all are what they were.

    Args:
        source: A folder with the five packages, or with a folder of sounds for each voice; None: the installed ones.

    Raises:
        UsageError: They are not there, or are not the packages'.
    """
    place = INSTALLED if source is None else source
    found = {}
    for key, voice in tqdm(VOICES.items(), unit="voice", desc="reading", leave=False, delay=1):
        found[key] = dict(sorted(_read(place, voice)))
        if (digest := digest_of(found[key])) != voice.digest:
            raise UsageError(
                f"expected the {voice.prompts} prompts of {voice.package} in {place}, got {len(found[key])}, or other "
                f"ones (checksum {digest[:12]}); {HOW}"
            )
    return found


def digest_of(found: dict[str, Tensor]) -> str:
    """Return the checksum of prompts in the order of their names."""
    digest = hashlib.sha256()
    for name, samples in found.items():
        digest.update(name.encode() + hashlib.sha256(samples.numpy().astype("<i2").tobytes()).digest())
    return digest.hexdigest()


def _read(place: Path, voice: Voice) -> Iterator[tuple[str, Tensor]]:
    """Every prompt of a voice: its name, as in "digits/1", and its samples. Prompts of silence are left out."""
    for path, data in _files(place, voice):
        name = path.with_suffix("").as_posix()
        if path.parts[0] != "silence":
            try:
                with wave.open(io.BytesIO(data)) as file:
                    kind = (file.getnchannels(), file.getsampwidth(), file.getframerate())
                    samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.int16)
            except (wave.Error, EOFError) as error:
                raise UsageError(
                    f"expected a WAV file, got {voice.folder}/{name}, damaged ({error}); {HOW}"
                ) from error
            if kind != (1, 2, RATE):
                raise UsageError(
                    f"expected one channel of 16 bits at {RATE} Hz in {voice.folder}/{name}, got (channels, bytes, Hz) "
                    f"{kind}; {HOW}"
                )
            yield name, torch.from_numpy(samples)


def _files(place: Path, voice: Voice) -> Iterator[tuple[Path, bytes]]:
    folder, packages = place / voice.folder, sorted(place.glob(f"{voice.package}_*.deb"))
    if folder.is_dir():
        yield from (
            (path.relative_to(folder), path.read_bytes()) for path in folder.rglob("*.wav") if path.is_file()
        )
    elif packages:
        for path, data in packaged(packages[-1], ".wav", HOW):
            if voice.folder in path.parts:
                yield Path(*path.parts[path.parts.index(voice.folder) + 1 :]), data
    else:
        raise UsageError(f"expected {voice.package} in {place}, got neither it nor {voice.folder}; {HOW}")
