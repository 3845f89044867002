"""One spoken syllable in the bands of an undecimated bank, as the figure of the gallery draws it."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from gpt.errors import UsageError
from gpt.lock import locked
from gpt.ranges import Count, checked
from gpt.study_files import origin, write_json
from torch import Tensor

from dsptorch import UndecimatedBands

from .data import RATE, decode
from .source import clips

RESULT = "utterance.json"
CREDIT = 'gcin-voice (Debian), voice 5: CC BY 3.0, "ChionMeilin with the vocal source from Chu Lo"'


@checked
def utterance(
    source: Path | None = None,
    syllable: str = "ㄕㄤ4/5",
    levels: Count = 5,
    stretch: Count = 32,
    out: Path = Path("runs/syllables"),
) -> str:
    """Split one syllable into bands, and write their extremes and the error of their sum.

    The sound itself is not kept: of each band, only its least and its greatest sample in every stretch of time.

    Args:
        source: as of `study`.
        syllable: "syllable/voice", a name in the package.
        levels: of the bank.
        stretch: samples that one pair of extremes stands for.
        out: folder to put the result in.
    """
    sounds = clips(source)
    if syllable not in sounds:
        raise UsageError(f"expected a syllable of the package such as {next(iter(sounds))}, got {syllable}")
    wave = cast(Tensor, decode({syllable: sounds[syllable]})["waves"]).float() / 32767
    x = wave.reshape(1, -1, 1)
    layer = UndecimatedBands(1, levels=levels)
    with torch.no_grad():
        bands = layer.split(layer(x))
    curves = dict(
        zip(["signal", f"c_{levels}", *(f"d_{j}" for j in range(levels, 0, -1))], [x, *bands], strict=True)
    )
    found = {
        **origin("soundfile"),
        "data": f"{syllable} of {CREDIT}",
        "rate": RATE,
        "samples": len(wave),
        "stretch": stretch,
        "greatest sample": round(x.abs().max().item(), 4),
        "error of the sum": (sum(bands) - x).abs().max().item(),
        "extremes": {name: extremes(curve.flatten(), stretch) for name, curve in curves.items()},
    }
    with locked(out):
        write_json(out / RESULT, found)
    return f"{len(wave)} samples, the bands add up to them within {found['error of the sum']:.1e}: {out / RESULT}"


def extremes(curve: Tensor, stretch: int) -> list[list[float]]:
    """Return the least and the greatest sample of each stretch, [least, greatest]; the last may be shorter."""
    parts = curve.split(stretch)
    return [[round(part.min().item(), 4) for part in parts], [round(part.max().item(), 4) for part in parts]]
