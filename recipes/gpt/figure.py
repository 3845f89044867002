"""The figure of a comparison: loss against steps, a line an arm."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .metrics import LOG, read_metrics

COLOURS = ("#4c566a", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")  # told apart by all eyes


def plot_curves(runs: Mapping[str, Path], path: Path, *, title: str) -> Path:
    """Draw the validation loss of runs (label -> folder) over their faint training loss, into a PNG."""
    figure = Figure(figsize=(8, 4.8), layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    ends = []
    for colour, (label, folder) in zip(COLOURS, runs.items(), strict=False):
        records = read_metrics(folder / LOG)
        train = [(r["step"], r["train_loss"]) for r in records if "train_loss" in r]
        val = [(r["step"], r["val_loss"]) for r in records if "val_loss" in r]
        axes.plot(*zip(*train, strict=True), color=colour, alpha=0.25, linewidth=0.8)
        axes.plot(*zip(*val, strict=True), color=colour, linewidth=2.2, marker="o", markersize=4)
        ends.append((*val[-1], label, colour))

    lowest, highest = min(y for _, y, *_ in ends), max(y for _, y, *_ in ends)
    span = max(0.6, 2.5 * (highest - lowest))
    axes.set_ylim(lowest - 0.15 * span, highest + span)
    gap, below = 0.055 * (highest - lowest + 1.15 * span), -float("inf")
    for step, loss, label, colour in sorted(ends, key=lambda end: end[1]):
        below = max(loss, below + gap)  # labels of close ends are spread upwards
        axes.annotate(
            f"{label}\u2002{loss:.3f}",
            (step, loss),
            xytext=(1.02, below),
            textcoords=axes.get_yaxis_transform(),
            color=colour,
            va="center",
            fontweight="bold",
            annotation_clip=False,
        )
    axes.set_xlabel("step")
    axes.set_ylabel("loss, nats a byte")
    axes.set_title(f"{title}: validation (lines) and training (faint)", loc="left")
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)
    return path
