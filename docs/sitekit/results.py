"""Pages of committed results: the tables and figures beside a JSON file, its command and its machine."""

import json
import re
from pathlib import Path
from typing import Any

_TITLES = {
    "enwiki_head": "A GPT on Wikipedia text",
    "hyperparams": "Hyperparameters that learn, in the GPT",
    "ppg": "Forecasts of a pulse wave",
    "undecimated": "Forecasts of a pulse wave, with the undecimated bank",
    "syllables": "Spoken syllables",
    "banks_250": "Banks and averages in a small GPT",
    "stack": "The search for a stack",
    "voice_bits": "Voices in bits a sample",
}


def files_of(folder: Path) -> list[Path]:
    """The files of numbers in a folder of results."""
    return sorted(file for file in folder.iterdir() if file.suffix in (".json", ".jsonl", ".yaml"))


def title_of(path: Path) -> str:
    """The heading of a result's page."""
    return _TITLES.get(path.stem, path.stem.replace("_", " "))


def facts_lines(data: Any) -> list[str]:
    """The command and the machine that a result names, as a list."""
    facts = data.get("facts", data) if isinstance(data, dict) else {}
    machine = facts.get("machine", facts)
    machine = machine if isinstance(machine, dict) else {}
    lines = []
    if command := facts.get("command"):
        lines += ["```sh", str(command), "```", ""]
    if text := facts.get("data"):
        lines.append(f"- data: {text if isinstance(text, str) else json.dumps(text)}")
    names = (
        "cpu",
        "processor",
        "gpu",
        "cores",
        "threads",
        "platform",
        "system",
        "python",
        "torch",
        "dsptorch",
        "date",
    )
    found = [f"{name} {machine[name]}" for name in names if machine.get(name)]
    if found:
        lines.append(f"- machine: {', '.join(found)}")
    return [*lines, ""] if lines else []


def numbers_lines(data: Any) -> list[str]:
    """Tables of the parts of a result that are numbers by name, such as the times of arms."""
    lines = []
    for name, part in data.items() if isinstance(data, dict) else ():
        if isinstance(part, dict) and part and all(type(value) in (int, float) for value in part.values()):
            lines += [
                f"| {name} | |",
                "|---|---:|",
                *(f"| {key} | {value:,.6g} |" for key, value in part.items()),
                "",
            ]
    return lines


def result_page(folder: Path, root: Path) -> str:
    """The page of a folder of results."""
    up = "/../" + str(folder.relative_to(root))
    out = [
        f"# {title_of(folder)}",
        "",
        f"The files of `{folder.relative_to(root)}`, as they are committed.",
        "",
    ]
    for text in sorted(folder.glob("*.md")):
        if text.name == "README.md":
            body = text.read_text().split("\n", 1)[1]
            out += ["## About it", "", _demoted(_plain_links(body)).strip(), ""]
        else:
            out += [
                f"## {text.stem.replace('_', ' ').capitalize()}",
                "",
                _demoted(_plain_links(text.read_text())),
                "",
            ]
    for picture in sorted(folder.glob("*.png")):
        out += [
            f"## {picture.stem.replace('_', ' ').capitalize()}",
            "",
            f"![{picture.stem}]({up}/{picture.name})",
            "",
        ]
    out += ["## Where the numbers come from", ""]
    for file in files_of(folder):
        out += [f"### {file.name}", "", f"[{file.name}]({up}/{file.name})", ""]
        if file.suffix == ".json":
            data = json.loads(file.read_text())
            out += [*facts_lines(data), *numbers_lines(data)]
    return "\n".join(out)


def timings(data: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], dict[str, dict[str, Any]]]:
    """Every group of timed arms in a benchmark's result, by where it stands."""
    found: dict[tuple[str, ...], dict[str, dict[str, Any]]] = {}
    if isinstance(data, dict):
        arms = {name: part for name, part in data.items() if isinstance(part, dict) and "median" in part}
        if arms:
            found[path] = arms
        for name, part in data.items():
            if name not in arms:
                found |= timings(part, (*path, name))
    return found


def benchmark_page(file: Path, root: Path) -> str:
    """The page of a benchmark: a table for each group of arms."""
    data = json.loads(file.read_text())
    out = [f"# Benchmark: {file.stem.replace('_', ' ')}", "", *facts_lines(data)]
    out += [f"All numbers: [{file.name}](/../{file.relative_to(root)}).", ""]
    if file.with_suffix(".png").exists():
        out += [f"![{file.stem}](/../{file.with_suffix('.png').relative_to(root)})", ""]
    if file.with_suffix(".md").exists():
        out += [_demoted(_demoted(file.with_suffix(".md").read_text())), ""]
    for path, arms in timings(data).items():
        name = ", ".join(part for part in path if part != "milliseconds") or "milliseconds"
        out += [
            f"## {name}",
            "",
            "| arm | median, ms | quartiles, ms | times the least |",
            "|---|---:|---:|---:|",
        ]
        least = min(arm["median"] for arm in arms.values()) or 1.0
        for arm, time in arms.items():
            low, high = time.get("quartiles", (time["median"],) * 2)
            row = (arm, f"{time['median']:.3g}", f"{low:.3g} to {high:.3g}", f"{time['median'] / least:.1f}")
            out.append("| " + " | ".join(row) + " |")
        out.append("")
    return "\n".join(out)


def index_page(recipes: list[str], benchmarks: list[str]) -> str:
    """The page that leads to all results."""
    out = [
        "# Results",
        "",
        "Written at build from the files that the commands left; no number here is typed.",
        "",
    ]
    for heading, names in (("Recipes", recipes), ("Benchmarks", benchmarks)):
        out += [f"## {heading}", "", "```{toctree}", ":maxdepth: 1", *names, "```", ""]
    return "\n".join(out)


def _demoted(text: str) -> str:
    return "\n".join(f"#{line}" if line.startswith("#") else line for line in text.split("\n"))


def _plain_links(text: str) -> str:
    """Links to neighbours become their names: the page shows the neighbours itself."""
    return re.sub(r"\[([^\]]+)\]\((?![/#]|\w+://)[^)]*\)", r"\1", text.replace("](../../../docs/", "](/"))
