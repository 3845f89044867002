"""How many trials each kind of arm got, and the best of each: what was tuned more has had more chances to win."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..table import markdown
from .log import REFERENCE, Line
from .table import change_of, pairs

FAMILIES = {  # the first whose key a trial's arm has is its family
    "ngrams": "tables of n-grams",
    "at_rate": "blocks at half of the rate",
    "kv_fir": "filters of keys and values",
    "canon": "Canon layers",
    "haar": "causal Haar averages",
    "dilated": "dilated convolutions",
    "dynamic": "taps that the sample chooses",
    "smear": "gated token shift",
    "fir": "delay bank",
    "token_shift": "token shift, the reference",
}
HEADER = ("arm", "trials", "validation nats of the best", "change", "the best")


def in_families(lines: Sequence[Line]) -> str:
    """Return the table, from the arm with the best trial to that with the worst."""
    trials: dict[str, dict[str, float]] = {}
    for line in lines:
        losses = trials.setdefault(family(line), {})
        losses[line["trial"]] = line["val_loss"] if line["outcome"] == "finished" else float("inf")
    best = {name: min(losses, key=losses.__getitem__) for name, losses in trials.items()}
    rows = []
    for name in sorted(best, key=lambda name: trials[name][best[name]]):
        found = pairs(best[name], lines)
        change = "reference" if best[name] == REFERENCE else change_of(found)[0] if found else ""
        rows.append(
            (name, str(len(trials[name])), f"{trials[name][best[name]]:.4f}", change, f"`{best[name]}`")
        )
    return markdown(HEADER, rows)


def family(line: Line) -> str:
    """Return the family of a trial."""
    arm: dict[str, Any] = line["config"]["arm"]
    return next((name for key, name in FAMILIES.items() if key in arm), "plain")
