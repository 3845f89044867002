"""The table of a study, from its results.json."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from gpt.study_files import by_arm
from gpt.table import markdown, mean_and_spread

from .arms import ARMS

SAME = 0.01  # counts within which a forecast in chunks is that at once: rounding

HEADER = (
    "forecast by",
    "sees",
    "parameters",
    "validation RMSE",
    "test RMSE",
    "test MAE",
    "against plain",
    "in windows",
    "streams",
    "ms a step",
)


PAIRS = (  # of one memory, and then of two
    ("fir_identity", "conv"),
    ("fir_delays", "fir_identity"),
    ("fir_lowpass", "fir_identity"),
    ("lfo", "conv"),
    ("multirate", "frame"),
    ("multirate", "dilated"),
    ("undecimated", "dilated"),
    ("undecimated", "multirate"),
    ("delays_multirate", "multirate"),
)


def table(results: Mapping[str, Any], step_ms: Mapping[str, float]) -> str:
    """Return two tables: of baselines and arms, with their mean and sample standard deviation over seeds; and of pairs.

    Args:
        results: What `study` wrote into results.json.
        step_ms: Time of a training step by arm, where it was measured.
    """
    plain = statistics.mean(run["test_rmse"] for run in results["runs"] if run["arm"] == "plain")
    rows: list[tuple[str, ...]] = [
        (
            row["label"],
            str(row["memory"]) if row["memory"] else "",
            "",
            f"{row['val_rmse']:.1f}",
            f"{row['test_rmse']:.1f}",
            f"{row['test_mae']:.1f}",
            _change(row["test_rmse"], plain),
            "",
            "",
            "",
        )
        for row in results["baselines"]
    ]
    rows += [_row(arm, runs, plain, step_ms.get(arm)) for arm, runs in by_arm(results)]
    pairs = _pairs(results)
    return markdown(HEADER, rows) + (f"\n\n{pairs}" if pairs else "")


def _pairs(results: Mapping[str, Any]) -> str:
    """Return the table of differences between arms, seed by seed: the same windows for both."""
    runs = {(run["arm"], run["seed"]): run for run in results["runs"]}
    rows = []
    for one, other in PAIRS:
        pairs = [
            (runs[one, s], runs[other, s]) for s in results["seeds"] if {(one, s), (other, s)} <= runs.keys()
        ]
        if pairs:
            rows.append(
                (
                    f"{ARMS[one].label}, less {ARMS[other].label}",
                    *(
                        mean_and_spread([a[m] - b[m] for a, b in pairs], "+")
                        for m in ("test_rmse", "test_mae")
                    ),
                )
            )
    return markdown(("difference, seed by seed", "test RMSE", "test MAE"), rows) if rows else ""


def _row(arm: str, runs: Sequence[Mapping[str, Any]], plain: float, step_ms: float | None) -> tuple[str, ...]:
    def over_seeds(name: str) -> list[float]:
        return [run[name] for run in runs]

    apart = max(over_seeds("chunks_apart"))
    return (
        ARMS[arm].label,
        str(max(run["memory"] for run in runs)),
        f"{runs[0]['parameters']:,}",
        mean_and_spread(over_seeds("val_rmse")),
        mean_and_spread(over_seeds("test_rmse")),
        mean_and_spread(over_seeds("test_mae")),
        "" if arm == "plain" else _change(statistics.mean(over_seeds("test_rmse")), plain),
        mean_and_spread(over_seeds("test_rmse_windows")),
        "yes" if apart < SAME else f"no: {statistics.mean(over_seeds('test_rmse_chunks')):.1f}",
        "" if step_ms is None else f"{step_ms:.0f}",
    )


def _change(value: float, plain: float) -> str:
    return f"{100 * (value / plain - 1):+.1f} %"
