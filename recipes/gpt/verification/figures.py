"""Figures of paired runs, saved as PNG and SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..figure import COLOURS

HATCHES = ("", "//", "..")  # tell arms apart that share a colour


def new_figure(width: float = 8, height: float = 4.8, panels: int = 1) -> tuple[Figure, Sequence[Axes]]:
    """Return a figure and its panels, side by side."""
    figure = Figure(figsize=(width, height), layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, panels, squeeze=False)[0]


def save(figure: Figure, stem: Path) -> None:
    """Write STEM.png and STEM.svg, the same bytes each time."""
    for suffix in (".png", ".svg"):
        with mpl.rc_context({"svg.hashsalt": "dsptorch", "svg.fonttype": "none"}):
            figure.savefig(
                stem.with_name(stem.name + suffix), metadata={"Date": None} if suffix == ".svg" else None
            )


def quiet(axes: Axes) -> None:
    """Take the frame away, and leave a faint grid."""
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def bars(summary: Mapping[str, Any]) -> Figure:
    """Draw the validation loss of each arm and length: the mean, its spread, and a dot for each seed.

    The axis does not begin at 0, which the label says: losses differ by percents.
    """
    lengths = summary["lengths"]
    arms = [row["arm"] for row in lengths[0]["arms"]]
    figure, (axes,) = new_figure(width=max(6.5, 1.1 * len(arms) * len(lengths) + 3))
    width = 0.8 / len(arms)
    every = [value for length in lengths for row in length["arms"] for value in row["val_loss"]["values"]]
    floor = min(every) - 0.35 * max(max(every) - min(every), 0.02 * min(every))
    for i, arm in enumerate(arms):
        for place, length in enumerate(lengths):
            loss = length["arms"][i]["val_loss"]
            x = place + (i - (len(arms) - 1) / 2) * width
            axes.bar(
                x,
                loss["mean"] - floor,
                0.88 * width,
                bottom=floor,
                color=COLOURS[i % len(COLOURS)],
                alpha=0.75,
                hatch=HATCHES[i // len(COLOURS) % len(HATCHES)],
                label=arm if place == 0 else None,
            )
            axes.errorbar(x, loss["mean"], loss["spread"] or 0, color="black", capsize=4, linewidth=1.2)
            values = loss["values"]
            offsets = [x + 0.25 * width * (n / max(1, len(values) - 1) - 0.5) for n in range(len(values))]
            axes.scatter(offsets, values, s=12, color="white", edgecolor="black", linewidth=0.7, zorder=3)
            axes.annotate(
                f"{loss['mean']:.3f}",
                (x, max([*values, loss["mean"] + (loss["spread"] or 0)])),
                xytext=(0, 5),
                textcoords="offset points",
                ha="center",
                fontweight="bold",
                fontsize=9,
            )
    axes.set_xticks(range(len(lengths)), [f"{length['steps']:,} steps" for length in lengths])
    axes.set_ylim(floor, max(every) + 0.25 * (max(every) - floor))
    axes.set_ylabel(f"validation loss, nats a byte (axis from {floor:.2f})")
    seeds = len(lengths[0]["arms"][0]["seeds"])
    axes.set_title(
        f"{summary['data'].split(',')[0]}: mean, spread and each of {seeds} seeds", loc="left", fontsize=11
    )
    axes.legend(
        frameon=False,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.08),
        ncols=1 if len(max(arms, key=len)) > 24 else 3,
    )
    quiet(axes)
    return figure
