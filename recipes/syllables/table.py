"""The table of a study, from its results.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gpt.study_files import by_arm
from gpt.table import markdown, mean_and_spread

from .arms import ARMS

HEADER = (
    "front end",
    "learned numbers",
    "initials (22)",
    "against mel",
    "tones (4)",
    "initials, the other voice",
    "latency, ms",
    "CPU ms a second, streamed",
    "training, times mel's",
)


def table(results: Mapping[str, Any], costs: Mapping[str, Mapping[str, float]]) -> str:
    """Return the table of the arms: accuracies in per cent, with the sample standard deviation over the seeds.

    Args:
        results: What `study` wrote into results.json.
        costs: Of the front ends, where they were measured.
    """
    found = dict(by_arm(results))
    mel = {run["seed"]: run["initials"] for run in found["mel"]}
    rows = []
    for arm, runs in found.items():
        pairs = [run["initials"] - mel[run["seed"]] for run in runs if run["seed"] in mel]
        cost = costs.get(arm, {})
        rows.append(
            (
                ARMS[arm].label,
                f"{runs[0]['learned']:,}",
                percent([run["initials"] for run in runs]),
                "" if arm == "mel" else percent(pairs, "+"),
                percent([run["tones"] for run in runs]),
                percent([run["other_voice"] for run in runs]),
                f"{cost['latency_ms']:.1f}" if cost else "",
                f"{cost['stream_ms']:.1f}" if cost else "",
                f"{cost['train_ms'] / costs['mel']['train_ms']:.1f}" if cost else "",
            )
        )
    return markdown(HEADER, rows)


def percent(values: Sequence[float], sign: str = "") -> str:
    """Return "mean ± sample standard deviation" in per cent; the mean alone of one value."""
    return mean_and_spread([100 * value for value in values], sign)
