"""The command `stack`: docs/stack.md, made of recipes/results/stack: a template, page.md, and the logs of searches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..checkpoint import write_text
from ..config import CONFIGS
from ..errors import CheckpointError
from ..ranges import checked
from ..verification.compare import compare, sample
from .families import in_families
from .log import LOG, REFERENCE, Line, read_log
from .table import change_of, in_markdown, pairs

RESULTS = CONFIGS.parent / "results" / "stack"
PAGE = CONFIGS.parents[1] / "docs" / "stack.md"
SEARCHES = ("enwiki_250", "enwiki_1000", "gcide_250")
WINNER, TEMPLATE = "stack", "page.md"
GOAL = 3.0  # percent


@checked
def stack(results: Path = RESULTS, page: Path = PAGE) -> None:
    """Write the page of the stack from the logs that are there.

    Args:
        results: folder of page.md and of folders with trials.jsonl.
        page: the file to write.
    """
    write_text(page, make_page(results))
    print(page)


def make_page(results: Path) -> str:
    """Return the page.

    Raises:
        CheckpointError: A log is not there.
    """
    logs = {name: _lines(results / name / LOG) for name in SEARCHES}
    equal = {name: [line for line in lines if "unequal" not in line] for name, lines in logs.items()}
    template = (results / TEMPLATE).read_text()
    return template.format(
        **{name: in_markdown(lines) for name, lines in equal.items()},
        **_figures(equal),
        **_causes(logs["enwiki_250"]),
        families=in_families(equal["enwiki_250"]),
        ratios=_ratios(logs),
        verdict=verdict(pairs(WINNER, equal["enwiki_1000"])),
        machine=_machine(logs["enwiki_1000"][-1]),
    )


def verdict(found: Sequence[tuple[float, float]]) -> str:
    """Say whether paired losses show a gain of GOAL percent."""
    comparison = compare(*zip(*found, strict=True))
    if comparison.interval is None:
        return f"One seed does not show whether the goal of {GOAL:g} % is passed."
    mean = sample([loss for loss, _ in found]).mean
    best, least = (-100 * end / mean for end in comparison.interval)
    if least > GOAL:
        return f"The whole interval lies beyond {GOAL:g} %: the goal is passed."
    if best < GOAL:
        return f"The whole interval lies short of {GOAL:g} %: the goal is missed."
    side = "passes" if -comparison.change_percent >= GOAL else "misses"
    return (
        f"The mean {side} the goal of {GOAL:g} %, and the interval holds values on both sides of it:\n"
        f"{len(found)} seeds do not show whether the goal is passed."
    )


def _lines(file: Path) -> list[Line]:
    lines = read_log(file)
    if not lines:
        raise CheckpointError(f"expected the log of a search in {file}, got none; make the search again")
    return lines


def _figures(logs: dict[str, list[Line]]) -> dict[str, str]:
    """Return what the page says of the winner: its change, the interval and the number of seeds, on each text."""
    said = {}
    for name in SEARCHES[1:]:
        found = pairs(WINNER, logs[name])
        if not found:
            raise CheckpointError(
                f"expected finished runs of {WINNER} in the log of {name}, got none; make them"
            )
        said[f"change_{name}"], said[f"interval_{name}"] = change_of(found, digits=2)
        said[f"test_{name}"], _ = change_of(pairs(WINNER, logs[name], "test_loss"), digits=2)
        said[f"seeds_{name}"] = str(len(found))
        said[f"better_{name}"] = str(sum(after < before for before, after in found))
    return said


def _causes(lines: list[Line]) -> dict[str, str]:
    """Return what tells tables and faster step apart: the unequal trials beside the reference and the winner."""
    unequal = list(dict.fromkeys(line["trial"] for line in lines if "unequal" in line))
    best = min(
        (line for line in lines if line["outcome"] == "finished" and "unequal" not in line),
        key=lambda line: float(line["val_loss"]),
    )["trial"]
    shown = [line for line in lines if line["trial"] in (REFERENCE, best, *unequal)]
    changes = {f"change_{name.replace('-', '_')}": change_of(pairs(name, lines))[0] for name in unequal}
    return {"causes": in_markdown(shown), **changes}


def _ratios(logs: dict[str, list[Line]]) -> str:
    """Return every ratio of step times that was measured of the winner's configuration, under whatever name."""
    lines = [line for name in SEARCHES for line in logs[name]]
    winner = next(line["config"] for line in lines if line["trial"] == WINNER)
    measured = {line["time_ratio"] for line in lines if line["config"] == winner}
    return ", ".join(f"{ratio:.3f}" for ratio in sorted(measured))


def _machine(line: Line) -> str:
    of: dict[str, Any] = line["machine"]
    return f"{of['cpu']}, {of['threads']} thread, torch {of['torch']}, Python {of['python']}"
