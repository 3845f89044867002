"""Train filterbanks on a task that has nothing to do with reconstruction, and measure what still comes back.

    python benchmarks/reconstruction.py [--figure PNG]

500 steps of Adam at a learning rate of 0.1 make the bands of random signals sparse. The error is the largest sample of
synthesis(analysis(x)) - x, of noise, over the largest sample of x. Beside the families of `FilterBank` stand filters
whose every tap is free, and, where ptwt is installed (`pip install ptwt`), its `SoftOrthogonalWavelet`, which adds its
own loss for reconstruction, with three weights.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import openmp_policy  # noqa: F401  # before torch, which reads what it sets
import torch
from harness import facts, print_facts, save, table
from reconstruction_banks import HAS_PTWT, Bank, banks
from torch import Tensor

GREY, OURS, CONTROLS = "#4c566a", "#0072b2", ("#d55e00", "#cc79a7", "#e69f00", "#009e73")


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


def draw(curves: Mapping[str, Mapping[str, list[float]]], path: Path) -> None:
    """Draw the errors of all banks, ours in one colour for each dtype, into a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(8, 5), layout="constrained", dpi=130)
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    looks, seen = zip(CONTROLS, ("-", "--", "-.", ":"), strict=True), set()
    for name, curve in curves.items():
        ours = name.endswith(("float32", "float64"))
        dtype = name.rpartition(", ")[2]
        label = f"dsptorch, {dtype}: each family" if ours else name
        colour, dashes = (OURS if dtype == "float32" else GREY, "-") if ours else next(looks)
        axes.plot(
            curve["step"],
            curve["error"],
            color=colour,
            linestyle=dashes,
            linewidth=0.8 if ours else 1.8,
            label=None if label in seen else label,
        )
        seen.add(label)
    axes.set_yscale("log")
    axes.set_xlabel("steps of Adam, learning rate 0.1, towards sparse bands")
    axes.set_ylabel("largest error of synthesis(analysis(x)), over the largest sample")
    axes.axhline(1, color="black", linewidth=0.5, linestyle=":")
    axes.legend(loc="center", bbox_to_anchor=(0.75, 0.32), fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


def main() -> None:
    """Train all, and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=500, help="(default: %(default)s)")
    parser.add_argument("--lr", type=float, default=0.1, help="(default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks/reconstruction.json"))
    parser.add_argument("--figure", type=Path, help="a PNG of the errors; needs matplotlib")
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
    if options.figure is not None:
        draw(curves, options.figure)
    save(options.output, {"facts": known, "options": vars(options), "curves": curves})


if __name__ == "__main__":
    main()
