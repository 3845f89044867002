"""Train filterbanks on a task that has nothing to do with reconstruction, and measure what still comes back.

    python benchmarks/reconstruction.py

500 steps of Adam at a learning rate of 0.1 make the bands of random signals sparse. The error is the largest sample of
synthesis(analysis(x)) - x, of noise, over the largest sample of x. Beside the families of `FilterBank` stand filters
whose every tap is free, and, where ptwt is installed (`pip install ptwt`), its `SoftOrthogonalWavelet`, which adds its
own loss for reconstruction, with three weights.
"""

import argparse
import importlib.util
from abc import abstractmethod
from pathlib import Path
from typing import Any

import openmp_policy  # noqa: F401  # before torch, which reads what it sets
import torch
from harness import facts, print_facts, save, table
from torch import Tensor, nn

from dsptorch import FilterBank, Subbands
from dsptorch.functional import analysis, synthesis

HAS_PTWT = importlib.util.find_spec("ptwt") is not None
FAMILIES: dict[str, dict[str, Any]] = {
    "lattice, 8 taps": {"num_bands": 2, "kind": "lattice"},
    "lattice, 24 taps": {"num_bands": 2, "kind": "lattice", "overlap": 6},
    "paraunitary, 8 bands, 32 taps": {"num_bands": 8, "kind": "paraunitary"},
    "cosine (MDCT), 32 bands, 64 taps": {"num_bands": 32, "overlap": 1},
    "cosine (ELT), 8 bands, 32 taps": {"num_bands": 8},
    "cosine, 4 bands, 24 taps": {"num_bands": 4, "overlap": 3},
    "dft, 17 bands, 32 taps": {"num_bands": 17, "kind": "dft", "overlap": 1},
}
SOFT_WEIGHTS = (0.0, 1.0, 10.0)


class Bank(nn.Module):
    """A bank that may be trained."""

    @abstractmethod
    def bands(self, x: Tensor) -> Tensor:
        """Return all bands of (B, T, 1), as (B, frames, bands)."""

    @abstractmethod
    def error(self, x: Tensor) -> float:
        """Return the largest error of what comes back, over the largest sample."""

    def penalty(self) -> Tensor | float:
        """Return what is added to the loss of the task."""
        return 0.0


class Ours(Bank):
    """A family."""

    def __init__(self, dtype: torch.dtype, **arguments: Any) -> None:
        super().__init__()
        self.layer = Subbands(FilterBank(1, dtype=dtype, **arguments))

    def bands(self, x: Tensor) -> Tensor:
        """Return all bands."""
        bands: Tensor = self.layer.members[0](x)
        return bands

    def error(self, x: Tensor) -> float:
        """Return the largest error."""
        late = int(self.layer.delay)
        return _relative(self.layer(x)[:, late:], x[:, : x.shape[1] - late], x)


class FreeTaps(Bank):
    """Two filters of eight taps, each free, and the same reversed for the synthesis."""

    def __init__(self) -> None:
        super().__init__()
        self.taps = nn.Parameter(FilterBank(1, 2, "lattice").matrix().detach().clone())

    def bands(self, x: Tensor) -> Tensor:
        """Return all bands."""
        return analysis(x, self.taps, 2)

    def error(self, x: Tensor) -> float:
        """Return the largest error."""
        late = self.taps.shape[1] - 1
        y = synthesis(self.bands(x), self.taps.flip(1), 2)
        return _relative(y[:, late : x.shape[1]], x[:, :-late], x)


class Soft(Bank):
    """ptwt's learned db4, one level, with its loss for reconstruction."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        import ptwt.wavelets_learnable  # noqa: PLC0415
        import pywt  # noqa: PLC0415

        taps = (torch.tensor(taps) for taps in pywt.Wavelet("db4").filter_bank)
        self.wavelet = ptwt.wavelets_learnable.SoftOrthogonalWavelet(*taps)
        self.weight = weight

    def bands(self, x: Tensor) -> Tensor:
        """Return both bands."""
        return torch.stack(self._analysis(x), -1)

    def error(self, x: Tensor) -> float:
        """Return the largest error inside."""
        import ptwt  # noqa: PLC0415

        y = ptwt.waverec(self._analysis(x), self.wavelet)
        inside = slice(len(self.wavelet), x.shape[1] - len(self.wavelet))
        return _relative(y[:, inside], x[:, inside, 0], x)

    def penalty(self) -> Tensor | float:
        """Return the loss for reconstruction, weighted."""
        loss: Tensor = self.weight * self.wavelet.wavelet_loss()
        return loss

    def _analysis(self, x: Tensor) -> list[Tensor]:
        import ptwt  # noqa: PLC0415

        bands: list[Tensor] = ptwt.wavedec(x[:, :, 0], self.wavelet, mode="zero", level=1)
        return bands


def _relative(found: Tensor, expected: Tensor, x: Tensor) -> float:
    return ((found - expected).abs().max() / x.abs().max()).item()


def sparsity(bands: Tensor) -> Tensor:
    """The task: how much of the bands' sum of squares is in few of them; no scale makes it less."""
    return bands.abs().mean() / bands.square().mean().sqrt()


def signals(generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    """Return sums of tones between 0.18 and 0.28 cycles per sample, where no bank begins with a band: (8, 256, 1)."""
    frequency, phase = torch.rand(2, 8, 1, 4, generator=generator, dtype=torch.float64)
    cycles = (0.18 + 0.1 * frequency) * torch.arange(256).unsqueeze(1) + phase
    return torch.cos(2 * torch.pi * cycles).sum(2, keepdim=True).to(dtype)


def train(bank: Bank, steps: int, lr: float, seed: int = 0) -> dict[str, list[float]]:
    """Train, and return the task's loss and the error at every tenth step, and after the last."""
    dtype = next(bank.parameters()).dtype
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(4, 1000, 1, generator=generator, dtype=torch.float64).to(dtype)
    unseen = signals(generator, dtype)
    optimizer = torch.optim.Adam(bank.parameters(), lr=lr)
    curve: dict[str, list[float]] = {"step": [], "loss": [], "error": []}
    for step in range(steps + 1):
        if step % 10 == 0 or step == steps:
            with torch.no_grad():
                found = {
                    "step": step,
                    "loss": sparsity(bank.bands(unseen)).item(),
                    "error": bank.error(noise),
                }
            for name, value in found.items():
                curve[name].append(value)
        optimizer.zero_grad()
        (sparsity(bank.bands(signals(generator, dtype))) + bank.penalty()).backward()
        optimizer.step()
    return curve


def banks() -> dict[str, Bank]:
    """Return every bank, by name."""
    made: dict[str, Bank] = {}
    for dtype in (torch.float32, torch.float64):
        for name, arguments in FAMILIES.items():
            made[f"{name}, {str(dtype).removeprefix('torch.')}"] = Ours(dtype, **arguments)
    made["every tap free"] = FreeTaps()
    if HAS_PTWT:
        made |= {f"ptwt, its loss times {weight:g}": Soft(weight) for weight in SOFT_WEIGHTS}
    return made


def main() -> None:
    """Train all, and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=500, help="(default: %(default)s)")
    parser.add_argument("--lr", type=float, default=0.1, help="(default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks/reconstruction.json"))
    options = parser.parse_args()
    known = facts(torch.device("cpu"))
    print_facts(known)
    if not HAS_PTWT:
        print("ptwt is not installed, and no control.")
    torch.manual_seed(0)
    curves = {name: train(bank, options.steps, options.lr) for name, bank in banks().items()}
    rows = [
        [
            name,
            f"{c['loss'][0]:.3f}",
            f"{c['loss'][-1]:.3f}",
            f"{max(c['error']):.1e}",
            f"{c['error'][-1]:.1e}",
        ]
        for name, c in curves.items()
    ]
    print(table(["bank", "task before", "after", "largest error", "error at the end"], rows))
    save(options.output, {"facts": known, "options": vars(options), "curves": curves})


if __name__ == "__main__":
    main()
