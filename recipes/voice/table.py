"""The table of a study, from its results.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gpt.study_files import by_arm
from gpt.table import markdown, mean_and_spread

from .arms import ARMS, BASE

HEADER = (
    "bits a sample",
    "learned numbers",
    "held-out prompts",
    "French, unseen",
    "Italian, unseen speaker",
    "against token shift, held-out",
    "step, ms of CPU",
)
WITHOUT = ("bits a sample, without what is below 180 Hz", *HEADER[3:5])
PARTS = ("val", "fr", "menardi")


def table(
    results: Mapping[str, Any], step_ms: Mapping[str, float], hum: Mapping[str, Mapping[str, float]]
) -> str:
    """Return the table of anchors and arms: bits per sample, with the sample standard deviation over the seeds.

    Args:
        results: What `study` wrote into results.json.
        step_ms: Time of a training step by arm, where it was measured.
        hum: Bits of the unseen voices without hum, by arm, where they were measured: a second table.
    """
    rows = [
        (f"*{label}*", "", *(f"{found[part]:.3f}" for part in PARTS), "", "")
        for label, found in results["anchors"].items()
    ]
    base = {run["seed"]: run["val"] for run in results["runs"] if run["arm"] == BASE}
    rows += [_row(arm, runs, base, step_ms.get(arm)) for arm, runs in by_arm(results)]
    without = [
        (f"*{arm}*" if arm not in ARMS else ARMS[arm].label, *(f"{bits[part]:.3f}" for part in PARTS[1:]))
        for arm, bits in hum.items()
    ]
    return markdown(HEADER, rows) + ("\n\n" + markdown(WITHOUT, without) if without else "")


def _row(
    arm: str, runs: Sequence[Mapping[str, Any]], base: Mapping[int, float], step_ms: float | None
) -> tuple[str, ...]:
    pairs = [run["val"] - base[run["seed"]] for run in runs if run["seed"] in base]
    return (
        ARMS[arm].label,
        f"{runs[0]['parameters']:,}",
        *(mean_and_spread([run[part] for run in runs], digits=3) for part in PARTS),
        "" if arm == BASE else mean_and_spread(pairs, "+", digits=3),
        "" if step_ms is None else f"{step_ms:.0f}",
    )
