"""The command `efficiency`: steps, tokens, FLOPs and seconds that each arm takes to each loss."""

from __future__ import annotations

import json
import math
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from ..checkpoint import write_text
from ..errors import UsageError
from ..machine import machine
from ..ranges import Count, Distinct, Positive, checked
from ..table import markdown
from .analyze import with_spread
from .compare import Sample, sample
from .curve import COSTS, Curve, Metric, read_curve
from .figures import save
from .figures_of_curves import savings
from .flops import flops_per_step
from .paired import read_results
from .plan import Plan, read_plan

QUARTERS = (0.25, 0.5, 0.75, 1.0)
Curves = Mapping[str, Sequence[Curve]]


@checked
def efficiency(
    results_dir: Path,
    metric: Metric = "val",
    targets: Annotated[Sequence[Positive], Distinct()] | None = None,
    auto_targets: bool = False,
    window: Count = 10,
) -> None:
    """Compare what the arms of verify or ablate spend until they reach a loss.

    A point of a curve counts where it is: there is no interpolation. Where a seed never reaches a target, its arm is
    censored there, and no mean is given. Leaves efficiency-METRIC.json, .md, .png and .svg beside the runs.

    Args:
        results_dir: folder of verify or ablate.
        metric: "val", the validation loss, or "train", the training loss.
        targets: losses in nats a byte.
        auto_targets: whether to take the losses that every seed of the baseline has reached after each quarter of
            its run.
        window: lines of the log that a training loss is the mean of.
    """
    if not targets and not auto_targets:
        raise UsageError("targets: expected losses, got none; give some, or --auto-targets")
    summary = measure(read_plan(results_dir), metric, targets or (), auto_targets=auto_targets, window=window)
    text = in_markdown(summary)
    stem = results_dir / f"efficiency-{metric}"
    write_text(stem.with_suffix(".json"), json.dumps(summary, indent=1) + "\n")
    write_text(stem.with_suffix(".md"), text + "\n")
    save(savings([summary]), stem)
    print(text)


def measure(
    plan: Plan, metric: Metric, targets: Sequence[float] = (), *, auto_targets: bool = True, window: int = 10
) -> dict[str, Any]:
    """Return what all arms of a plan spend, as JSON's values; the arguments are those of `efficiency`."""
    found = read_results(plan)
    flops = {arm: flops_per_step(config) for arm, config in plan.configs.items()}
    lengths = []
    for steps, arms in found.items():
        curves = {
            arm: [read_curve(run, metric, flops_per_step=flops[arm], window=window) for run in runs]
            for arm, runs in arms.items()
        }
        wanted = sorted({*targets, *(auto(curves, steps) if auto_targets else ())}, reverse=True)
        lengths.append({"steps": steps, "targets": [_to_target(curves, target) for target in wanted]})
    first = next(iter(next(iter(found.values())).values()))[0].result
    return {
        "command": shlex.join(["python", *sys.argv]),
        "machine": machine(),
        "data": first.data,
        "metric": metric,
        "baseline": next(iter(plan.arms)),
        "flops_per_step": flops,
        "lengths": lengths,
    }


def auto(curves: Curves, steps: int) -> list[float]:
    """Return the losses that every seed of the baseline has reached after each quarter of its run, rounded up."""
    of_baseline = next(iter(curves.values()))
    targets = []
    for quarter in QUARTERS:
        best = [float(c.losses[c.steps <= max(quarter * steps, c.steps[0])].min()) for c in of_baseline]
        targets.append(math.ceil(1e4 * max(best)) / 1e4)
    return targets


def _to_target(curves: Curves, target: float) -> dict[str, Any]:
    """Return what each arm spends until a target; None where a seed does not reach it."""
    spent = {arm: [curve.reached(target) for curve in of_arm] for arm, of_arm in curves.items()}
    baseline = next(iter(spent.values()))
    rows = []
    for arm, seeds in spent.items():
        row: dict[str, Any] = {
            "arm": arm,
            "reached": sum(seed is not None for seed in seeds),
            "of": len(seeds),
        }
        for cost in COSTS:
            own, saved = [], []
            for seed, other in zip(seeds, baseline, strict=True):
                if seed is not None:
                    own.append(seed[cost])
                    if other is not None and other[cost]:
                        saved.append(100 * (1 - seed[cost] / other[cost]))
            row[cost] = asdict(sample(own)) if len(own) == len(seeds) else None
            row[f"{cost}_saved_percent"] = asdict(sample(saved)) if len(saved) == len(seeds) else None
        rows.append(row)
    return {"target": target, "arms": rows}


def in_markdown(summary: Mapping[str, Any]) -> str:
    """Return the table of an efficiency."""
    header = ("arm", "run", "target", "reached", *COSTS)
    saved = ("steps saved", "FLOPs saved", "seconds saved")
    rows = []
    for length in summary["lengths"]:
        for target in length["targets"]:
            for arm in target["arms"]:
                rows.append(
                    (
                        arm["arm"],
                        f"{length['steps']:,}",
                        f"{target['target']:.4f}",
                        f"{arm['reached']} of {arm['of']}",
                        _cell(arm["steps"]) if arm["steps"] else f"censored at {length['steps']:,}",
                        *(_cell(arm[cost]) for cost in COSTS[1:]),
                        *(
                            ""
                            if arm["arm"] == summary["baseline"]
                            else _percent(arm[f"{cost}_saved_percent"])
                            for cost in ("steps", "flops", "seconds")
                        ),
                    )
                )
    return "\n\n".join(
        (
            f"Data: {summary['data']}. What each arm spends until its {summary['metric']} loss is at most the target; "
            "± is the sample standard deviation over the seeds; savings are against the baseline, seed by seed.",
            markdown((*header, *saved), rows),
            "Censored: a seed never reached the target within the run, so nothing is known but that it takes longer. "
            "FLOPs are those of torch's counter, with sums and products of elements; seconds are those of the updates.",
        )
    )


def _cell(values: Mapping[str, Any] | None) -> str:
    if values is None:
        return ""
    return f"{values['mean']:,.4g}" + (f" ± {values['spread']:,.2g}" if values["spread"] is not None else "")


def _percent(values: Mapping[str, Any] | None) -> str:
    return f"{with_spread(Sample(**values), 0)} %" if values else ""
