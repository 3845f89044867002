"""Sound from a trained model, a sample at a time."""

from __future__ import annotations

import io
import wave
from pathlib import Path
from typing import Literal

import torch
from gpt.checkpoint import fitting, write_file
from gpt.errors import CheckpointError
from gpt.lock import locked, make_folder
from gpt.ranges import NotNegative, Positive, Seed, checked
from torch import Tensor
from tqdm import tqdm

from dsptorch import streaming

from .arms import ARMS, build
from .codes import decode
from .data import load
from .mixture import draw
from .model import VoiceModel
from .source import RATE


def save_model(path: Path, arm: str, model: VoiceModel) -> None:
    """Write the weights of a trained model of an arm."""
    make_folder(path.parent)
    file = io.BytesIO()
    torch.save({"arm": arm, "model": model.state_dict()}, file)
    write_file(path, file.getvalue())


def load_model(path: Path) -> VoiceModel:
    """Return what `save_model` wrote, in eval mode.

    Raises:
        CheckpointError: There is none, or it does not fit.
    """
    if not path.is_file():
        raise CheckpointError(
            f"expected a trained model in {path}, got no file; run study, or give another --model"
        )
    with fitting(f"expected a model of this recipe in {path}"):
        saved = torch.load(path, weights_only=True)
        model = build(ARMS[saved["arm"]])
        model.load_state_dict(saved["model"])
    return model.eval()


@checked
def generate(
    model: Path = Path("runs/voice/at_rate.pt"),
    source: Path | None = None,
    out: Path = Path("runs/voice"),
    seconds: Positive = 2.0,
    part: Literal["val", "fr", "menardi"] = "val",
    prompt_seconds: Positive = 1.0,
    temperature: NotNegative = 1.0,
    seed: Seed = 0,
) -> str:
    """Go on with a prompt that the model was not trained on, sample by sample, and write generated.wav.

    Args:
        model: weights that a study wrote.
        source: as of `study`.
        out: folder to put generated.wav in, and the codes of the voices.
        seconds: of sound to make.
        part: the held-out prompts of the voices that were trained on, or of a voice that was not.
        prompt_seconds: of them that the file begins with.
        temperature: multiplies the widths of the distributions that samples are drawn from.
        seed: of the draws.
    """
    trained = load_model(model)
    codes = load(source, out / "codes.pt").tests[part][: max(1, round(RATE * prompt_seconds))]
    made = go_on(trained, codes, round(RATE * seconds), temperature=temperature, seed=seed)
    path = out / "generated.wav"
    with locked(out):
        write_wave(path, torch.cat([codes, made]))
    return f"{path}: {len(codes) / RATE:g} s of a prompt and {len(made) / RATE:g} s made sample by sample"


@torch.no_grad()
def go_on(
    model: VoiceModel, codes: Tensor, length: int, *, temperature: float = 1.0, seed: int = 0
) -> Tensor:
    """Return codes drawn one by one: (time,), uint8 -> (length,), uint8."""
    generator = torch.Generator().manual_seed(seed)
    made: list[Tensor] = []
    with streaming(model):
        mixture = model(codes[None].long())[:, -1:]
        for _ in tqdm(range(length), unit="sample", desc="generating"):
            made.append(draw(mixture, generator, temperature))
            mixture = model(made[-1])
    return torch.cat(made, 1)[0].to(torch.uint8) if made else codes[:0]


def write_wave(path: Path, codes: Tensor) -> None:
    """Write codes as a WAV file of 16 bits."""
    samples = (decode(codes) * (2**15 - 1)).round().numpy().astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(RATE)
        written.writeframes(samples.tobytes())
    write_file(path, file.getvalue())
