"""The log of a search as a table: what each trial changes against the reference of its seed."""

from __future__ import annotations

from collections.abc import Sequence

from ..table import markdown
from ..verification.compare import compare, sample
from .log import REFERENCE, Line, find

HEADER = (
    "trial",
    "parameters",
    "time of a step",
    "FLOPs of a step",
    "steps",
    "seeds",
    "validation nats",
    "change",
    "95 % interval",
)


def in_markdown(lines: Sequence[Line]) -> str:
    """Return the table: the reference, then the trials from the best to the worst, then what did not finish."""
    names = list(dict.fromkeys(line["trial"] for line in lines))
    rows = [(_rank(name, lines), _row(name, lines)) for name in names]
    return markdown(HEADER, [row for _, row in sorted(rows, key=lambda row: row[0])])


def pairs(name: str, lines: Sequence[Line], loss: str = "val_loss") -> list[tuple[float, float]]:
    """Return the losses of the reference and of a trial, seed by seed, where both have one."""
    own = [line for line in lines if line["trial"] == name and line["outcome"] == "finished"]
    others = [find(list(lines), REFERENCE, line["seed"]) for line in own]
    return [
        (other[loss], line[loss])
        for line, other in zip(own, others, strict=True)
        if other and other["outcome"] == "finished"
    ]


def _rank(name: str, lines: Sequence[Line]) -> float:
    if name == REFERENCE:
        return float("-inf")
    found = pairs(name, lines)
    return compare(*zip(*found, strict=True)).change_percent if found else float("inf")


def _row(name: str, lines: Sequence[Line]) -> tuple[str, ...]:
    own = [line for line in lines if line["trial"] == name]
    first = own[0]
    unequal = first.get("unequal")
    start = (
        f"{name} (unequal {unequal})" if unequal else name,
        f"{first['parameters']:,}",
        f"{first['time_ratio']:.2f}",
        f"{first['flops_ratio']:.2f}",
        f"{first['steps']:,}",
    )
    found = pairs(name, lines)
    if not found:
        return (*start, str(len(own)), first["outcome"], "", "")
    losses = sample([loss for _, loss in found])
    spread = f" ± {losses.spread:.4f}" if losses.spread is not None else ""
    shown = (*start, str(len(found)), f"{losses.mean:.4f}{spread}")
    if name == REFERENCE:
        return (*shown, "reference", "")
    return (*shown, *change_of(found))


def change_of(found: Sequence[tuple[float, float]], digits: int = 1) -> tuple[str, str]:
    """Return the change of paired losses and its interval, both in percent of the reference's mean."""
    comparison = compare(*zip(*found, strict=True))
    interval = ""
    if comparison.interval:
        mean = sample([loss for loss, _ in found]).mean
        low, high = (100 * end / mean for end in comparison.interval)
        interval = f"{low:+.{digits}f} to {high:+.{digits}f} %"
    return f"{comparison.change_percent:+.{digits}f} %", interval
