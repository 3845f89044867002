"""The command that streams a sound file through a front end and compares the result with the whole."""

import argparse
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from dsptorch.audio.compression import PCEN, LogCompression
from dsptorch.audio.files import read_waveform
from dsptorch.audio.gabor import GaborBank
from dsptorch.audio.gammatone import Gammatone
from dsptorch.audio.mel import MelSpectrogram
from dsptorch.audio.sinc import SincBank
from dsptorch.audio.stft import STFT
from dsptorch.layers import Chain, Layer

FRONTS: dict[str, Callable[[int], Layer]] = {
    "mel": lambda rate: MelSpectrogram(rate, f_min=min(60.0, rate / 100)),
    "stft": lambda rate: STFT(max(16, rate // 40), hop_length=max(1, rate // 100), power=2.0),
    "gabor": lambda rate: GaborBank(40, rate),
    "sinc": lambda rate: SincBank(40, rate),
    "gammatone": lambda rate: Gammatone(40, rate),
}

_TOLERANCE = 1e-5

_DESCRIPTION = """\
Stream a sound file through a front end chunk by chunk, and compare with the whole file at once.

  python -m dsptorch.audio FILE.wav --front mel --chunk-ms 10

Prints the delay, the real-time factor and the greatest difference, and writes a picture of the energies beside the
file. Exit code: 0 if both agree, 1 if not, 2 if the file cannot be read, or the picture
not be written.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: The arguments of the command line; None for those of the process.

    Returns:
        The exit code.
    """
    options = _parser().parse_args(arguments)
    try:
        x, rate = read_waveform(options.file)
        front = FRONTS[options.front](rate)
        if not math.isfinite(options.chunk_ms):
            raise ValueError(f"--chunk-ms must be a finite number, got {options.chunk_ms:g}")
        size = round(options.chunk_ms / 1000 * rate)
        if size < 1:
            raise ValueError(
                f"--chunk-ms must be at least one sample, {1000 / rate:.3g} ms, got {options.chunk_ms:g}"
            )
        needed = front.grid if front.receptive_field is None else front.receptive_field
        if x.shape[1] < needed:
            raise ValueError(
                f"{options.file} has {x.shape[1]} samples, fewer than the {needed} of a window; take a longer one"
            )
        picture = Path(options.out or Path(options.file).with_suffix(f".{options.front}.png"))
    except (OSError, ValueError, ImportError) as error:
        print(f"not run: {error}", file=sys.stderr)
        return 2
    compress = PCEN(front.d_out) if options.pcen else LogCompression(front.d_out, 1e-8)
    layer = Chain(front, compress).requires_grad_(False)
    whole = layer(x)
    began = time.perf_counter()
    streamed = _streamed(layer, x, size)
    seconds = time.perf_counter() - began
    difference = ((streamed - whole).abs().max() / whole.abs().max().clamp_min(1e-30)).item()
    print(
        f"{options.file}: {x.shape[1] / rate:.2f} s at {rate} Hz, {whole.shape[1]} frames of {whole.shape[2]} bands"
    )
    print(f"delay: {1000 * float(front.delay) / rate:.1f} ms")
    print(f"real-time factor: {seconds / (x.shape[1] / rate):.4f}, in chunks of {options.chunk_ms:g} ms")
    print(f"streamed against whole: off by {difference:.1e} of the greatest value")
    try:
        if _draw(streamed[0], front, rate, picture):
            print(f"picture: {picture}")
    except (OSError, ValueError) as error:
        print(f"no picture: {error}", file=sys.stderr)
        return 2
    return int(not difference <= _TOLERANCE)


def _streamed(layer: Layer, x: Tensor, size: int) -> Tensor:
    state, parts = None, []
    with torch.no_grad():
        for chunk in x.split(size, 1):
            y, state = layer.step(chunk, state)
            parts.append(y)
    return torch.cat(parts, 1)


def _draw(energies: Tensor, front: Layer, rate: int, path: Path) -> bool:
    """Write the picture; return False without matplotlib."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415, an extra
    except ImportError:
        print("no picture: it needs matplotlib (pip install 'dsptorch[plots]')", file=sys.stderr)
        return False
    seconds = energies.shape[0] / float(front.rate) / rate
    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(
        energies.T.numpy(), aspect="auto", origin="lower", extent=(0, seconds, 0, energies.shape[1])
    )
    axes.set(xlabel="time in s", ylabel="band", title=f"{type(front).__name__}, streamed")
    figure.colorbar(image)
    figure.savefig(path, dpi=120)
    return True


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dsptorch.audio",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", help="a sound file of one channel")
    parser.add_argument("--front", choices=FRONTS, default="mel", help="the front end (default: mel)")
    parser.add_argument("--chunk-ms", type=float, default=10.0, help="length of a chunk in ms (default: 10)")
    parser.add_argument("--pcen", action="store_true", help="PCEN in the place of the logarithm")
    parser.add_argument("--out", help="the picture (default: beside the file)")
    return parser
