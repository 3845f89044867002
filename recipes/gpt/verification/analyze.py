"""The command `analyze`: what verify's runs say, as analysis.json, analysis.md and a figure."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..checkpoint import write_text
from ..machine import machine
from ..ranges import checked
from ..table import markdown
from .compare import Comparison, Sample, compare, sample
from .figures import bars, save
from .paired import Finished, read_results
from .plan import read_plan

LOSSES = {"val_loss": "validation", "test_loss": "test"}
HEADER = (
    "arm",
    "steps",
    "seeds",
    "parameters",
    "ms a step",
    "nats",
    "difference",
    "95 % interval",
    "change",
    "better",
    "paired t, p",
    "sign test, p",
    "Welch, p",
    "Cohen's d",
)


@checked
def analyze(results_dir: Path) -> None:
    """Compare the arms of verify or ablate seed by seed, at each length, on validation and test text.

    Leaves analysis.json, analysis.md, analysis.png and analysis.svg beside the runs, and prints the tables.

    Args:
        results_dir: folder of verify or ablate.
    """
    found = read_results(read_plan(results_dir))
    summary = analysis(found)
    text = in_markdown(summary)
    write_text(results_dir / "analysis.json", json.dumps(summary, indent=1) + "\n")
    write_text(results_dir / "analysis.md", text + "\n")
    save(bars(summary), results_dir / "analysis")
    print(text)


def analysis(found: Mapping[int, Mapping[str, Sequence[Finished]]]) -> dict[str, Any]:
    """Return the statistics of all lengths and arms as JSON's values.

    Args:
        found: finished runs by length and arm, the first arm being the baseline.
    """
    lengths = []
    for steps, arms in found.items():
        baseline = next(iter(arms))
        rows = []
        for arm, runs in arms.items():
            row: dict[str, Any] = {
                "arm": arm,
                "seeds": [done.run.seed for done in runs],
                "parameters": runs[0].result.parameters,
                "step_ms": asdict(sample([done.result.step_ms for done in runs])),
            }
            for loss in LOSSES:
                own, of_baseline = _losses(runs, loss), _losses(arms[baseline], loss)
                row[loss] = asdict(sample(own))
                row[f"{loss}_comparison"] = asdict(compare(of_baseline, own)) if arm != baseline else None
            rows.append(row)
        lengths.append({"steps": steps, "baseline": baseline, "arms": rows})
    data = next(iter(next(iter(found.values())).values()))[0].result.data
    return {
        "command": shlex.join(["python", *sys.argv]),
        "machine": machine(),
        "data": data,
        "lengths": lengths,
    }


def in_markdown(summary: Mapping[str, Any]) -> str:
    """Return the tables of an analysis, one for each loss."""
    parts = [
        f"Data: {summary['data']}. Losses in nats a byte; ± is the sample standard deviation over the seeds."
    ]
    for loss, name in LOSSES.items():
        rows = [_row(length["steps"], arm, loss) for length in summary["lengths"] for arm in length["arms"]]
        parts.append(f"Loss on the {name} text:\n\n{markdown(HEADER, rows)}")
    parts.append(
        "The difference is arm - reference, seed by seed, and its interval is that of the paired t-test. Cohen's d is "
        "the difference in units of the spread of a single run: a size, not a certainty."
    )
    return "\n\n".join(parts)


def _losses(runs: Sequence[Finished], loss: str) -> list[float]:
    return [getattr(done.result, loss) for done in runs]


def _row(steps: int, arm: Mapping[str, Any], loss: str) -> tuple[str, ...]:
    own = Sample(**arm[loss])
    first = (
        arm["arm"],
        f"{steps:,}",
        str(len(own.values)),
        f"{arm['parameters']:,}",
        with_spread(Sample(**arm["step_ms"]), 0),
        with_spread(own),
    )
    if arm[f"{loss}_comparison"] is None:
        return (*first, "reference", *[""] * 7)
    comparison = Comparison(**arm[f"{loss}_comparison"])
    low, high = comparison.interval or (None, None)
    return (
        *first,
        number(comparison.difference, "+.4f"),
        f"{number(low, '+.4f')} to {number(high, '+.4f')}" if comparison.interval else "",
        f"{comparison.change_percent:+.1f} %",
        f"{comparison.better} of {len(own.values)}",
        number(comparison.paired_t_p, ".2g"),
        number(comparison.sign_p, ".2g"),
        number(comparison.welch_p, ".2g"),
        number(comparison.cohens_d, "+.1f"),
    )


def with_spread(values: Sample, digits: int = 4) -> str:
    """Return "mean ± spread", or the value of the only seed."""
    return f"{values.mean:.{digits}f}" + (
        f" ± {values.spread:.{digits}f}" if values.spread is not None else ""
    )


def number(value: float | None, form: str) -> str:
    """Return a number, or nothing for None."""
    return "" if value is None else format(value, form)
