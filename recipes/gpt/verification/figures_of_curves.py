"""Figures of what happens during the runs: learning curves, and what is saved on the way to a loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ..figure import COLOURS
from .curve import Curve
from .figures import new_figure, quiet


def curves(arms: Mapping[str, Mapping[str, Sequence[Curve]]], *, title: str) -> Figure:
    """Draw the training and the validation loss of each arm: the mean over the seeds, and a band of one spread.

    Args:
        arms: for each arm "train" and "val", a curve a seed.
        title: of the figure.
    """
    figure, panels = new_figure(width=11, panels=2)
    for axes, (kind, name) in zip(panels, (("train", "training"), ("val", "validation")), strict=True):
        ends = []
        for i, (arm, of_arm) in enumerate(arms.items()):
            steps = of_arm[kind][0].steps
            losses = np.stack([curve.losses for curve in of_arm[kind]])  # (seeds, points)
            mean, colour = losses.mean(0), COLOURS[i % len(COLOURS)]
            marker = "o" if kind == "val" else None
            axes.plot(steps, mean, color=colour, linewidth=1.8, marker=marker, markersize=4, label=arm)
            if len(losses) > 1:
                spread = losses.std(0, ddof=1)
                axes.fill_between(steps, mean - spread, mean + spread, color=colour, alpha=0.25, linewidth=0)
            ends.append(mean[max(0, len(mean) // 10) :])
        low, high = min(end.min() for end in ends), max(end.max() for end in ends)
        axes.set_ylim(low - 0.06 * (high - low + 0.01), high + 0.06 * (high - low + 0.01))
        axes.set_xlabel("step")
        axes.set_ylabel(f"{name} loss, nats a byte")
        quiet(axes)
    panels[0].set_title(f"{title}: mean and spread over the seeds", loc="left", fontsize=11)
    figure.legend(*panels[0].get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=2)
    return figure


def savings(summaries: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw what each arm saves against the baseline in its longest runs, to each target; a panel a text.

    A target that an arm does not reach with every seed is marked as censored.
    """
    bars = max(3 * (len(s["lengths"][-1]["targets"][0]["arms"]) - 1) for s in summaries)  # to each target
    columns = 1 if bars <= 3 else 2
    size = {"width": len(summaries) * (4.6 + 0.5 * (bars - 3)) + 3, "height": 4.8 + 0.1 * (bars - 3)}
    figure, panels = new_figure(**size, panels=len(summaries))
    for axes, summary in zip(panels, summaries, strict=True):
        length = summary["lengths"][-1]
        arms = [row["arm"] for row in length["targets"][0]["arms"] if row["arm"] != summary["baseline"]]
        bars_of = [(arm, cost) for arm in arms for cost in ("steps", "flops", "seconds")]
        width = 0.8 / len(bars_of)
        for place, target in enumerate(length["targets"]):
            rows = {row["arm"]: row for row in target["arms"]}
            for i, (arm, cost) in enumerate(bars_of):
                x = place + (i - (len(bars_of) - 1) / 2) * width
                saved = rows[arm][f"{cost}_saved_percent"]
                label = f"{arm}: {cost}".replace("flops", "FLOPs") if place == 0 else None
                colour = COLOURS[(i + 1) % len(COLOURS)]
                spread = saved["spread"] if saved else 0
                axes.bar(
                    x,
                    saved["mean"] if saved else 0,
                    0.9 * width,
                    yerr=spread,
                    capsize=3,
                    color=colour,
                    label=label,
                )
                axes.annotate(
                    f"{saved['mean']:.0f} %" if saved else "censored",
                    (x, max(0, saved["mean"] + (spread or 0)) if saved else 0),
                    xytext=(0, 4),
                    textcoords="offset points",
                    rotation=0 if saved else 90,
                    ha="center",
                    va="bottom",
                    fontsize=7,
                )
        axes.axhline(0, color="black", linewidth=0.8)
        axes.set_xticks(
            range(len(length["targets"])), [f"{target['target']:.3f}" for target in length["targets"]]
        )
        axes.set_xlabel(f"{summary['metric']} loss to reach, nats a byte")
        axes.set_ylabel("saved against the baseline, %")
        axes.set_title(f"{summary['data'].split(',')[0]}, {length['steps']:,} steps", loc="left", fontsize=11)
        axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.14), fontsize=8, ncols=columns)
        quiet(axes)
    return figure
