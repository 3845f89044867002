"""The codes of the voices, in a part to train on, a part to validate on, and two voices that are never trained on."""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from gpt.checkpoint import write_file
from gpt.errors import UsageError
from gpt.lock import make_folder
from torch import Tensor

from .codes import encode
from .source import TRAINED, UNSEEN, VOICES, prompts

HELD_OUT = 24  # one prompt of so many is held out, by a checksum of its name


@dataclass(frozen=True)
class Corpus:
    """Codes, uint8, prompt after prompt.

    Args:
        train: of the voices to train on, less the prompts that are held out.
        val: the prompts of them that are held out.
        unseen: the prompts of the same rule of other voices, by the voice.
    """

    train: Tensor
    val: Tensor
    unseen: Mapping[str, Tensor]

    @property
    def tests(self) -> dict[str, Tensor]:
        """What bits are counted on, the validation part first."""
        return {"val": self.val, **self.unseen}


def load(source: Path | None, cache: Path) -> Corpus:
    """Return the codes of all voices, from the cache if they are there.

    Args:
        source: As of `prompts`.
        cache: A file to keep the codes in.

    Raises:
        UsageError: The packages are not there or not right, or the cache is damaged.
    """
    voices = _cached(cache)
    if voices is None:
        voices = {
            voice: {name: encode(samples) for name, samples in found.items()}
            for voice, found in prompts(source).items()
        }
        make_folder(cache.parent)
        file = io.BytesIO()
        torch.save({"digests": _digests(), "voices": voices}, file)
        write_file(cache, file.getvalue())
    return split(voices)


def held_out(name: str) -> bool:
    """Whether a prompt is held out; a name is so of all voices."""
    return zlib.crc32(name.encode()) % HELD_OUT == 0


def split(voices: Mapping[str, Mapping[str, Tensor]]) -> Corpus:
    """Divide prompts by their names.

    Args:
        voices: The codes of every prompt, by voice and name.
    """

    def joined(names: tuple[str, ...], held: bool) -> Tensor:
        return torch.cat(
            [codes for voice in names for name, codes in voices[voice].items() if held_out(name) == held]
        )

    return Corpus(
        joined(TRAINED, False), joined(TRAINED, True), {name: joined((name,), True) for name in UNSEEN}
    )


def _digests() -> list[str]:
    return [voice.digest for voice in VOICES.values()]


def _cached(cache: Path) -> dict[str, dict[str, Tensor]] | None:
    if not cache.exists():
        return None
    try:
        kept: dict[str, Any] = torch.load(cache, weights_only=True)
        voices: dict[str, dict[str, Tensor]] = kept["voices"]
        return voices if kept["digests"] == _digests() else None
    except Exception as error:
        raise UsageError(
            f"expected the codes of the voices in {cache}, got a damaged file ({error}); delete it"
        ) from error
