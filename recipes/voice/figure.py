"""The figure of a study: bits of every seed of every arm beside the anchors, and the losses in training."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from textwrap import fill
from typing import Any

from gpt.study_files import by_arm
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .arms import ARMS, BASE

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # told apart by all eyes
GREY = "#999999"
PARTS = {
    "val": "held-out prompts of the voices trained on",
    "fr": "an unseen voice, French",
    "menardi": "an unseen voice, Italian",
}


def plot(results: Mapping[str, Any], path: Path) -> None:
    """Draw the bits of every seed of every arm, and the losses in training, into a PNG."""
    figure = Figure(figsize=(9, 7.5), layout="constrained", dpi=130)
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, height_ratios=(3, 4))
    _bits(upper, results)
    _losses(lower, results)
    figure.savefig(path)


def _bits(axes: Axes, results: Mapping[str, Any]) -> None:
    arms = list(by_arm(results))
    for colour, (part, label) in zip(COLOURS, PARTS.items(), strict=False):
        for row, (_, runs) in enumerate(arms):
            found = [run[part] for run in runs]
            name = label if row == 0 else None
            axes.plot(found, [row] * len(found), "o", color=colour, alpha=0.5, markersize=6, label=name)
            axes.plot(statistics.mean(found), row, "|", color=colour, markersize=20, markeredgewidth=2.5)
        axes.axvline(results["anchors"]["LPC"][part], color=colour, linestyle=":", linewidth=1.2)
    axes.set_yticks(range(len(arms)), [fill(ARMS[arm].label, 24) for arm, _ in arms])
    axes.set_ylim(len(arms) - 0.4, -0.6)
    axes.set_xlabel("bits a sample; a dot a seed, a bar their mean, a dotted line LPC alone")
    axes.set_title("8-bit mu-law at 8 kHz, coded by a causal model", loc="left")
    axes.legend(frameon=False, fontsize=9, loc="upper right")
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _losses(axes: Axes, results: Mapping[str, Any]) -> None:
    """Losses less those of the base, seed by seed: all arms see the same windows."""
    steps = results["config"]["steps"]
    base = {run["seed"]: run["losses"] for run in results["runs"] if run["arm"] == BASE}
    for colour, (arm, runs) in zip(COLOURS, by_arm(results), strict=False):
        apart = [
            [loss - other for loss, other in zip(run["losses"], base[run["seed"]], strict=True)]
            for run in runs
            if run["seed"] in base
        ]
        curve = [statistics.mean(losses) for losses in zip(*apart, strict=True)]
        size = -(-steps // len(curve))
        times = [min((i + 1) * size, steps) - size / 2 for i in range(len(curve))]
        axes.plot(times, curve, color=colour, linewidth=1.8, label=ARMS[arm].label)
    axes.set_xlabel("step")
    axes.set_ylabel(f"bits a sample, less {ARMS[BASE].label}'s")
    axes.set_title("In training, mean of the seeds", loc="left")
    axes.legend(frameon=False, fontsize=9)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
