"""The figure of a study: accuracies, and the filters before and after."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpt.study_files import by_arm
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .arms import ARMS

BLUE, RED, GREY = "#0072b2", "#d55e00", "#999999"  # told apart by all eyes


def plot(results: Mapping[str, Any], path: Path) -> None:
    """Draw the accuracy of every seed of every arm, and the learned filters of those that have frequencies."""
    filters = results["filters"]
    figure = Figure(figsize=(9, 4 + 3.2 * bool(filters)), layout="constrained", dpi=130)
    FigureCanvasAgg(figure)
    if filters:
        grid = figure.add_gridspec(2, len(filters), height_ratios=(4, 3))
        _accuracies(figure.add_subplot(grid[0, :]), results)
        for column, (arm, found) in enumerate(filters.items()):
            _filters(figure.add_subplot(grid[1, column]), arm, found)
    else:
        _accuracies(figure.add_subplot(), results)
    figure.savefig(path)


def _accuracies(axes: Axes, results: Mapping[str, Any]) -> None:
    arms = list(by_arm(results))
    columns = {"initials": BLUE, "other_voice": RED}
    names = {
        "initials": "initials of unseen syllables",
        "other_voice": "the same of a voice that was not trained on",
    }
    for row, (_, runs) in enumerate(arms):
        for column, colour in columns.items():
            found = [100 * run[column] for run in runs]
            axes.plot(found, [row] * len(found), "o", color=colour, alpha=0.5, markersize=6)
            axes.plot(
                statistics.mean(found), row, "|", color=colour, markersize=20, markeredgewidth=2.5,
                label=names[column] if row == 0 else None,
            )  # fmt: skip
    axes.axvline(100 * results["majority"], color=GREY, linestyle=":", label="the most frequent initial")
    axes.set_yticks(range(len(arms)), [ARMS[arm].label for arm, _ in arms])
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("told right, per cent; a dot a seed, a bar their mean")
    axes.set_title("Spoken syllables: which of 22 initials?", loc="left")
    axes.legend(loc="upper center", frameon=False, fontsize=9)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _filters(axes: Axes, arm: str, found: Mapping[str, Any]) -> None:
    axes.plot(*found["before"], "o", color=GREY, markersize=4, label="before")
    axes.plot(*found["after"], "o", color=BLUE, markersize=4, label="after")
    axes.set(xscale="log", yscale="log", xlabel="centre, Hz", ylabel="bandwidth, Hz")
    axes.set_title(ARMS[arm].label, loc="left", fontsize=10)
    axes.legend(frameon=False, fontsize=9)
    axes.grid(color="#eeeeee", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
