"""The command `audit`: docs/audit.md, made of the study's claims and of the results under recipes/results/audit."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..checkpoint import write_text
from ..config import CONFIGS
from ..errors import CheckpointError
from ..ranges import checked
from .claims import CLAIMS, Claim

RESULTS = CONFIGS.parent / "results" / "audit"
PAGE = CONFIGS.parents[1] / "docs" / "audit.md"

HEAD = """# The audit: every claim of the study, and what we found

This page is made by `python recipes/gpt_enwik8.py audit` of the files under
[recipes/results/audit](../recipes/results/audit), in which command, versions, machine, text and seeds of every number
stand. The study's programs are mapped to ours on [a page of their own](study.md).

**What was run.** Small models and short runs: 2 blocks, d_model 64, context 128 (`small.yaml`), 1,024 bytes a step,
on two cores that others used too, so that times are noisy. The text is the first 6 MB of an English Wikipedia dump: as
bytes, which stand for enwik8, and cleaned to the alphabet of text8 (`enwiki_clean`, made by the command `clean`). The
study's sizes, and its 20,000 steps, were beyond this machine: a verdict is about these models and lengths.

**Figures.** Validation loss in nats a byte, over the whole split; ± is the sample standard deviation over the seeds. A
difference is that of pairs of runs with one seed, with the 95 % interval of the paired t-test.
"""


@checked
def audit(results: Path = RESULTS, page: Path = PAGE) -> None:
    """Write the page of the audit from the results that are there.

    Args:
        results: folder of folders with plan.json, analysis.json and efficiency-train.json.
        page: the file to write.
    """
    write_text(page, in_markdown(CLAIMS, results))
    print(page)


def in_markdown(claims: Sequence[Claim], results: Path) -> str:
    """Return the page.

    Raises:
        CheckpointError: A result that a claim asks for is not there.
    """
    rows = ["| the study says | what we ran | what came out | verdict |", "|---|---|---|---|"]
    used: dict[str, None] = {}
    for claim in claims:
        figures = []
        for kind, run, *arguments in claim.figures:
            used[run] = None
            figures.append(f"{FIGURES[kind](_open(results, run), *arguments)} [{run}]")
        rows.append(f"| {claim.words} | {claim.ran} | {'; '.join(figures)} | {claim.verdict} |")
    commands = [_open(results, run).says() for run in used]
    return "\n".join([HEAD, *rows, "", "## The runs", "", *commands, ""])


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except FileNotFoundError as error:
        raise CheckpointError(
            f"expected {file.name} in {file.parent}, got no file; run what makes it"
        ) from error


class _Study:
    """The results of a `study`, which lie beside those of the audit."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.saved = folder, _read(folder / "results.json")

    def arm(self, name: str) -> dict[str, Any]:
        """Return the row of an arm."""
        return next(row for row in self.saved["arms"] if row["arm"] == name)

    def says(self) -> str:
        """Return what stands under the table."""
        machine = self.saved["machine"]
        return (
            f"- **{self.folder.name}**: [its results](../recipes/results/{self.folder.name}), made earlier: "
            f"`{self.saved['command']}`; {self.saved['data']}; {machine['cpu']}, torch {machine['torch']}, Python "
            f"{machine['python']}."
        )


class _Run:
    """The results of one verify or ablate."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plan, self.analysis = _read(folder / "plan.json"), _read(folder / "analysis.json")

    def arm(self, name: str = "") -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the rows of the reference and of an arm, by default the second, at the longest length."""
        arms = self.analysis["lengths"][-1]["arms"]
        return arms[0], next(row for row in arms[1:] if name in ("", row["arm"]))

    def says(self) -> str:
        """Return what stands under the table."""
        machine = self.plan["machine"]
        seeds = ", ".join(map(str, self.plan["seeds"]))
        steps = self.analysis["lengths"][-1]["steps"]
        return (
            f"- **{self.folder.name}**: `{self.plan['command']}`; {steps:,} steps, seeds {seeds}; "
            f"{self.analysis['data']}; {machine['cpu']}, torch {machine['torch']}, Python {machine['python']}."
        )


def _open(results: Path, run: str) -> Any:
    earlier = results.parent / run / "results.json"
    return _Study(earlier.parent) if earlier.exists() else _Run(results / run)


def _loss(row: dict[str, Any]) -> str:
    return f"{row['val_loss']['mean']:.3f} ± {row['val_loss']['spread']:.3f}"


def change(run: _Run, arm: str = "") -> str:
    """Say how a loss changes, in percent and nats."""
    reference, row = run.arm(arm)
    found = row["val_loss_comparison"]
    low, high = found["interval"]
    steps = run.analysis["lengths"][-1]["steps"]
    return (
        f"{_loss(reference)} to {_loss(row)} after {steps:,} steps: {found['change_percent']:+.1f} % "
        f"({low:+.3f} to {high:+.3f} nats)"
    )


def certainty(run: _Run, arm: str = "") -> str:
    """Say how sure a difference is, and Cohen's d beside it."""
    found = run.arm(arm)[1]["val_loss_comparison"]
    n = len(run.plan["seeds"])
    return (
        f"better with {found['better']} of {n} seeds, paired t p = {found['paired_t_p']:.1g}, sign test p = "
        f"{found['sign_p']:.2g}, Cohen's d = {found['cohens_d']:+.1f}"
    )


def delta(run: _Run, arm: str) -> str:
    """Say what an arm of an ablation is worth, against the whole treatment, which its name may begin with."""
    found = run.arm(arm)[1]["val_loss_comparison"]
    low, high = found["interval"]
    return (
        f"{arm.rpartition('+')[2].replace('_', ' ')} {found['difference']:+.3f} ({low:+.3f} to {high:+.3f})"
    )


def saved(run: _Run) -> str:
    """Say what the treatment saves until the loss that every seed of the baseline ended with."""
    length = _read(run.folder / "efficiency-train.json")["lengths"][-1]
    row = length["targets"][-1]["arms"][1]
    parts = []
    for cost, name in (("steps", "steps"), ("tokens", "tokens"), ("flops", "FLOPs"), ("seconds", "seconds")):
        value = row[f"{cost}_saved_percent"]
        parts.append(f"{name} {value['mean']:.0f} ± {value['spread']:.0f} %" if value else f"{name} censored")
    return f"to training loss {length['targets'][-1]['target']:.3f}: {', '.join(parts)} saved"


def earlier(run: _Study, reference: str, arm: str, loss: str = "val_loss") -> str:
    """Say how a loss differs in the results of a `study`."""
    first, second = run.arm(reference), run.arm(arm)
    cells = [f"{row[loss]:.3f} ± {row[f'{loss}_spread']:.3f}" for row in (first, second)]
    percent = 100 * (second[loss] / first[loss] - 1)
    seeds = len(second["seeds"])
    return f"{cells[0]} to {cells[1]}: {percent:+.1f} % ({second['parameters'] / 1e6:.1f} M parameters, {seeds} seeds)"


FIGURES: dict[str, Callable[..., str]] = {f.__name__: f for f in (change, certainty, delta, saved, earlier)}
