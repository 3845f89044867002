"""The results.json of a small study, and what each of them holds: a command, a machine, a run of each arm and seed."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .checkpoint import write_text
from .errors import UsageError
from .machine import machine

RESULTS = "results.json"


def check_arms(arms: Sequence[str], known: Collection[str], base: str) -> None:
    """Refuse arms that there are not, and a study without the arm that all are compared with.

    Args:
        arms: names that the user gave.
        known: the names of the recipe's arms.
        base: the arm that all are compared with.

    Raises:
        UsageError: They are refused.
    """
    unknown = sorted(set(arms) - set(known))
    if unknown or base not in arms:
        raise UsageError(
            f"arms: expected some of {', '.join(known)}, {base} with them, got {unknown or list(arms)}; change them"
        )


def origin(*packages: str) -> dict[str, Any]:
    """Return the command of this process, and the machine, for a file of numbers.

    Args:
        packages: whose versions to add.
    """
    return {"command": shlex.join(["python", *sys.argv]), "machine": machine(*packages)}


def write_json(path: Path, numbers: Mapping[str, Any]) -> None:
    """Write a file of numbers."""
    write_text(path, json.dumps(numbers, indent=1) + "\n")


def read_results(out: Path, known: Collection[str], base: str) -> dict[str, Any]:
    """Return the results of a study.

    Args:
        out: the folder of the study.
        known: as of `check_arms`.
        base: as of `check_arms`.

    Raises:
        UsageError: There are none, or damaged ones, or those of another recipe.
    """
    expected = f"expected the results of a study in {out / RESULTS}"
    try:
        results: dict[str, Any] = json.loads((out / RESULTS).read_bytes())
        if {base} <= {run["arm"] for run in results["runs"]} <= set(known):
            return results
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(f"{expected}, got no file; give the --out of one, or run study") from error
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{expected}, got a damaged file ({error}); run study again") from error
    raise UsageError(f"{expected}, got other arms than {base} and its rivals; run study again")


def by_arm(results: Mapping[str, Any]) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    """Yield every arm with its runs, in the order in which the arms were run."""
    for arm in dict.fromkeys(run["arm"] for run in results["runs"]):
        yield arm, [run for run in results["runs"] if run["arm"] == arm]
