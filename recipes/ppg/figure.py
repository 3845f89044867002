"""The figure of a study, from its results.json: the error of every arm, and a few seconds of forecasts."""

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
from .data import RATE

GREY, COLOURS = "#4c566a", ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # told apart by all eyes


def plot(results: Mapping[str, Any], path: Path) -> None:
    """Draw the test error of every seed of every arm, and the example, into a PNG."""
    figure = Figure(figsize=(9, 8), layout="constrained", dpi=130)
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, height_ratios=(3, 2))
    _errors(upper, results)
    _example(lower, results)
    figure.savefig(path)


def _errors(axes: Axes, results: Mapping[str, Any]) -> None:
    """A row an arm, a dot a seed, coloured by how far back the arm sees; the best baseline as a line."""
    arms = list(by_arm(results))
    memories = {arm: max(run["memory"] for run in runs) for arm, runs in arms}
    colours = dict(zip(sorted(set(memories.values())), (GREY, *COLOURS), strict=False))
    for row, (arm, runs) in enumerate(arms):
        colour, found = colours.get(memories[arm], GREY), [run["test_rmse"] for run in runs]
        axes.plot(found, [row] * len(found), "o", color=colour, alpha=0.5, markersize=6)
        axes.plot(statistics.mean(found), row, "|", color=colour, markersize=22, markeredgewidth=2.5)
    axes.set_yticks(range(len(arms)), [f"{ARMS[arm].label} ({memories[arm]})" for arm, _ in arms])
    axes.invert_yaxis()
    best = min(results["baselines"], key=lambda row: row["val_rmse"])
    axes.axvline(best["test_rmse"], color="black", linestyle=":", linewidth=1.2)
    axes.annotate(
        f"{best['label']} ",
        (best["test_rmse"], 1.0),
        xycoords=axes.get_xaxis_transform(),
        ha="right",
        va="top",
        fontsize=9,
        rotation=90,
    )
    axes.set_xlabel(
        "test RMSE, counts; a dot a seed, a bar their mean; in brackets and by colour: samples seen"
    )
    ahead = results["config"]["horizon"] / RATE
    axes.set_title(f"A pulse wave, forecast {ahead:.2f} s ahead, at equal numbers of parameters", loc="left")
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _example(axes: Axes, results: Mapping[str, Any]) -> None:
    """The signal, and what was forecast of it."""
    for colour, (label, values) in zip(
        ("#bbbbbb", "black", *COLOURS), results["example"].items(), strict=False
    ):
        seconds = [i / RATE for i in range(len(values))]
        width, line = (5.0, "-") if label == "signal" else (1.5, ":" if colour == "black" else "-")
        axes.plot(seconds, values, color=colour, label=label, linestyle=line, linewidth=width)
    axes.set_xlabel("time, s, from the middle of the test part")
    axes.set_ylabel("PPG, counts")
    axes.set_ylim(top=max(map(max, results["example"].values())) * 1.25)
    axes.legend(loc="upper left", ncols=2, frameon=False, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
