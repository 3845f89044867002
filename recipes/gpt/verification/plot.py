"""The command `plot`: the study's figures, of the results of verify."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from ..errors import UsageError
from ..lock import make_folder
from ..ranges import Distinct, checked
from .analyze import analysis
from .curve import Metric, read_curve
from .efficiency import measure
from .figures import bars, save
from .figures_of_curves import curves, savings
from .paired import read_results
from .plan import read_plan


@checked
def plot(
    results_dirs: Annotated[Sequence[Path], Distinct()], out: Path = Path("figures"), metric: Metric = "train"
) -> None:
    """Draw the study's figures as PNG and SVG, and print their names.

    TEXT_multi_seed_comparison and TEXT_training_curves for each text, and training_efficiency_comparison of all.

    Args:
        results_dirs: folders of verify or ablate, each of another text.
        out: folder to put the figures in.
        metric: the loss by which the efficiency is measured, as of `efficiency`.
    """
    plans = [read_plan(folder) for folder in results_dirs]
    found = [read_results(plan) for plan in plans]
    texts = [
        next(iter(next(iter(lengths.values())).values()))[0].result.data.split(",")[0] for lengths in found
    ]
    if len(set(texts)) < len(texts):
        raise UsageError(
            f"results_dirs: expected folders of different texts, got {', '.join(texts)}; draw one at a time"
        )
    make_folder(out)
    figures = {}
    for text, lengths in zip(texts, found, strict=True):
        name = text.split(".")[0]
        figures[f"{name}_multi_seed_comparison"] = bars(analysis(lengths))
        steps, arms = list(lengths.items())[-1]
        of_arms = {
            arm: {kind: [read_curve(run, kind) for run in runs] for kind in ("train", "val")}
            for arm, runs in arms.items()
        }
        figures[f"{name}_training_curves"] = curves(of_arms, title=f"{text}, {steps:,} steps")
    figures["training_efficiency_comparison"] = savings([measure(plan, metric) for plan in plans])
    for name, figure in figures.items():
        save(figure, out / name)
        print(out / f"{name}.png")
