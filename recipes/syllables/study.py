"""The study: arms times seeds, summed up in results.json, table.md and figure.png."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import torch
from gpt.checkpoint import write_text
from gpt.lock import locked
from gpt.ranges import Count, Distinct, Positive, Seeds, checked
from gpt.study_files import RESULTS, check_arms, origin, read_results, write_json
from tqdm import tqdm

from dsptorch.audio import GaborFilters, SincFilters

from .arms import ARMS
from .cost import costs
from .data import RATE, Clips, load, split
from .figure import plot
from .model import Classifier
from .table import table
from .train import TrainConfig, accuracies, train

COST = "cost.json"


@checked
def study(
    arms: Annotated[Sequence[str], Distinct()] = tuple(ARMS),
    seeds: Seeds = (0, 1, 2, 3, 4),
    source: Path | None = None,
    out: Path = Path("runs/syllables"),
    epochs: Count = 16,
    lr: Positive = 3e-3,
) -> str:
    """Train every arm with every seed, and return the table of all.

    Args:
        arms: which arms, as in '[mel, gabor]'; mel, what all are compared with, must be one.
        seeds: of the split, of weights and of the order.
        source: Debian's gcin-voice: the .deb, or its folder of sounds; left out: the installed package.
        out: folder to put results.json, table.md and figure.png in, and the decoded clips.
        epochs: passes over the clips, of each run.
        lr: peak learning rate of the network in all arms.
    """
    check_arms(arms, ARMS, "mel")
    config = TrainConfig(epochs=epochs, lr=lr)
    clips = load(source, out / "clips.pt")
    with locked(out):
        results = _results(arms, seeds, clips, config)
        (out / COST).unlink(missing_ok=True)  # of another study
        write_json(out / RESULTS, results)
        return _report(out)


def _results(arms: Sequence[str], seeds: Sequence[int], clips: Clips, config: TrainConfig) -> dict[str, Any]:
    """Train every arm with every seed, and return what results.json is to hold."""
    runs, filters = [], {}
    todo = [(seed, arm) for seed in seeds for arm in arms]  # a slow minute of the machine meets every arm
    for seed, arm in tqdm(todo, unit="run"):
        training, test = split(clips, seed)
        model = train(ARMS[arm], training, config, seed=seed)
        other = train(ARMS[arm], training.at(training.voices == 0), config, seed=seed)
        runs.append(
            {
                "arm": arm,
                "seed": seed,
                "learned": sum(p.numel() for p in model.front.parameters() if p.requires_grad),
                **accuracies(model, test),
                "other_voice": accuracies(other, test.at(test.voices == 1))["initials"],
            }
        )
        if seed == seeds[0] and (after := bands(model)) is not None:
            torch.manual_seed(seed)
            filters[arm] = {"before": bands(Classifier(ARMS[arm], training)), "after": after}
    _, test = split(clips, seeds[0])
    return {
        **origin("soundfile"),
        "data": f"gcin-voice, {len(clips):,} syllables at {RATE} Hz",
        "majority": (test.initials.bincount().max() / len(test)).item(),
        "config": asdict(config),
        "seeds": list(seeds),
        "runs": runs,
        "filters": filters,
    }


def bands(model: Classifier) -> list[list[float]] | None:
    """The centre frequencies and the bandwidths of learned filters, in Hz; None where there are none."""
    for part in model.modules():
        if isinstance(part, GaborFilters):
            return [part.freq.value.tolist(), part.bandwidth.value.tolist()]
        if isinstance(part, SincFilters):
            low, high = (edge.detach() for edge in part.edges())
            return [((low + high) / 2).tolist(), (high - low).tolist()]
    return None


@checked
def cost(source: Path | None = None, rounds: Count = 9, out: Path = Path("runs/syllables")) -> str:
    """Time the front ends of a study, all in turn, and return the table with the times.

    Args:
        source: as of `study`.
        rounds: repetitions of each.
        out: folder of a study.
    """
    arms = list(dict.fromkeys(run["arm"] for run in read_results(out, ARMS, "mel")["runs"]))
    clips = load(source, out / "clips.pt")
    with locked(out):
        found = {**origin("soundfile"), "costs": costs(arms, clips, rounds=rounds)}
        write_json(out / COST, found)
        return _report(out)


def report(out: Path = Path("runs/syllables")) -> str:
    """Make table.md and figure.png anew, and return the table.

    Args:
        out: folder of a study.
    """
    read_results(out, ARMS, "mel")
    with locked(out):
        return _report(out)


def _report(out: Path) -> str:
    results = read_results(out, ARMS, "mel")
    found = json.loads((out / COST).read_text())["costs"] if (out / COST).exists() else {}
    text = table(results, found)
    write_text(out / "table.md", text + "\n")
    plot(results, out / "figure.png")
    return text
