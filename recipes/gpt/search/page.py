"""The command `stack`: docs/stack.md, made of recipes/results/stack: a template, page.md, and the logs of searches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..checkpoint import write_text
from ..config import CONFIGS
from ..errors import CheckpointError
from ..ranges import checked
from .log import LOG, Line, read_log
from .table import change_of, in_markdown, pairs

RESULTS = CONFIGS.parent / "results" / "stack"
PAGE = CONFIGS.parents[1] / "docs" / "stack.md"
SEARCHES = ("enwiki_250", "enwiki_1000", "gcide_250")
WINNER, TEMPLATE = "stack", "page.md"


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
    tables = {name: in_markdown(lines) for name, lines in logs.items()}
    template = (results / TEMPLATE).read_text()
    return template.format(**tables, **_figures(logs), machine=_machine(logs["enwiki_1000"][-1]))


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
        said[f"change_{name}"], said[f"interval_{name}"] = change_of(found)
        said[f"test_{name}"], _ = change_of(pairs(WINNER, logs[name], "test_loss"))
        said[f"seeds_{name}"] = str(len(found))
        said[f"better_{name}"] = str(sum(after < before for before, after in found))
    return said


def _machine(line: Line) -> str:
    of: dict[str, Any] = line["machine"]
    return f"{of['cpu']}, {of['threads']} thread, torch {of['torch']}, Python {of['python']}"
