"""Spoken Mandarin syllables as waveforms with labels, split so that no syllable is on both sides."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from gpt.errors import UsageError
from torch import Tensor
from tqdm import tqdm

from dsptorch.audio import Resample

from .source import DIGEST, clips

RATE = 16000
LONGEST = 12800  # samples of a clip: 0.8 s; what is longer is cut
INITIALS = ("", *"ㄅㄆㄇㄈㄉㄊㄋㄌㄍㄎㄏㄐㄑㄒㄓㄔㄕㄖㄗㄘㄙ")
"""The consonants that a syllable may begin with, and none."""

TONES = ("", "2", "3", "4")  # the first has no sign; the neutral one, 1, is left out
VOICES = ("3", "5")


@dataclass(frozen=True)
class Clips:
    """Clips of one length, filled with silence, and what they are.

    Attributes:
        waveforms: (clips, time, 1), in [-1, 1].
        lengths: The samples of each.
        initials: Numbers in INITIALS.
        tones: Numbers in TONES.
        voices: Numbers in VOICES.
        bases: The syllable of each without its tone, as a number.
    """

    waveforms: Tensor
    lengths: Tensor
    initials: Tensor
    tones: Tensor
    voices: Tensor
    bases: Tensor

    def __len__(self) -> int:
        """The number of clips."""
        return len(self.lengths)

    def at(self, rows: Tensor) -> Clips:
        """Some of them, by a mask or by number."""
        return Clips(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def load(source: Path | None, cache: Path) -> Clips:
    """Return all clips at 16 kHz, from the cache if they are there.

    Args:
        source: As of `clips`.
        cache: A file to keep the decoded clips in.

    Raises:
        UsageError: The package is not there or not right, or soundfile is not installed.
    """
    kept = _cached(cache)
    if kept is None:
        kept = decode(clips(source))
        cache.parent.mkdir(parents=True, exist_ok=True)
        part = cache.with_name(f"{cache.name}.part{os.getpid()}")
        torch.save(kept, part)
        part.replace(cache)
    return _labelled(kept)


def split(found: Clips, seed: int, share: float = 0.25) -> tuple[Clips, Clips]:
    """Divide the syllables into two parts, with all tones and voices of each on one side.

    Args:
        found: The clips.
        seed: Of the division.
        share: The part of the syllables that are for testing.

    Returns:
        The training clips, and the test clips.
    """
    bases = found.bases.unique()
    order = torch.randperm(len(bases), generator=torch.Generator().manual_seed(seed))
    test = torch.isin(found.bases, bases[order[: round(share * len(bases))]])
    return found.at(~test), found.at(test)


def decode(sounds: dict[str, bytes]) -> dict[str, object]:
    """Decode sound files, at 16 kHz, in order: "waves", int16, one after another, with "lengths" and "names"."""
    try:
        import soundfile  # noqa: PLC0415, an extra
    except (ImportError, OSError) as error:
        raise UsageError("decoding Ogg Vorbis needs soundfile: pip install soundfile") from error
    waves, names = [], []
    resamplers: dict[int, Resample] = {}
    for name, data in tqdm(sounds.items(), unit="clip", desc="decoding"):
        samples, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
        layer = resamplers.setdefault(rate, Resample(rate, RATE))
        x = torch.from_numpy(samples[:, :1]).unsqueeze(0)
        late = int(layer.delay * layer.rate)
        y = layer(torch.nn.functional.pad(x, (0, 0, 0, int(layer.delay) + 1)))[0, late:, 0]
        waves.append((y.clamp(-1, 1) * 32767).round().short())
        names.append(name)
    lengths = torch.tensor([len(wave) for wave in waves])
    return {"digest": DIGEST, "names": names, "waves": torch.cat(waves), "lengths": lengths}


def _cached(cache: Path) -> dict[str, object] | None:
    if not cache.exists():
        return None
    try:
        kept: dict[str, object] = torch.load(cache, weights_only=True)
        if kept["digest"] == DIGEST:
            return kept
    except Exception as error:
        raise UsageError(
            f"expected decoded clips in {cache}, got a damaged file ({error}); delete it"
        ) from error
    return None


def _labelled(kept: dict[str, object]) -> Clips:
    waves, lengths, names = kept["waves"], kept["lengths"], kept["names"]
    assert isinstance(waves, Tensor) and isinstance(lengths, Tensor) and isinstance(names, list)  # noqa: PT018
    found, labels = [], []
    bases: dict[str, int] = {}
    for name, wave in zip(names, waves.split(lengths.tolist()), strict=True):
        syllable, voice = name.split("/")
        base, tone = (syllable[:-1], syllable[-1]) if syllable[-1].isdigit() else (syllable, "")
        if tone == "1":
            continue
        initial = base[0] if base[0] in INITIALS else ""
        bases.setdefault(base, len(bases))
        found.append(wave[:LONGEST].float() / 32767)
        labels.append(
            (INITIALS.index(initial), TONES.index(tone), VOICES.index(voice), bases[base], len(found[-1]))
        )
    waveforms = torch.nn.utils.rnn.pad_sequence(found, batch_first=True).unsqueeze(-1)
    initials, tones, voices, numbers, ends = torch.tensor(labels).unbind(1)
    return Clips(waveforms, ends, initials, tones, voices, numbers)
