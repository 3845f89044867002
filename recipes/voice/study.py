"""The study: arms times seeds, beside the anchors, summed up in results.json, table.md and figure.png."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from gpt.checkpoint import write_text
from gpt.lock import locked
from gpt.ranges import Count, Distinct, Positive, Seeds, checked
from gpt.study_files import RESULTS, check_arms, origin, read_results, write_json
from gpt.turns import cpu_ms
from tqdm import tqdm

from .arms import ARMS, BASE, build, parameters
from .baselines import anchors, fitted_lpc
from .data import Corpus, load
from .evaluate import bits_of, counted, stream_gate
from .figure import plot
from .generate import load_model, save_model
from .hum import bits_without_hum
from .model import VoiceModel
from .source import TRAINED, UNSEEN, VOICES
from .table import table
from .train import Run, TrainConfig, train

COST, HUM = "step_ms.json", "hum.json"
STREAMED = 400  # samples of the streaming gate
CURVE = 50  # losses of the figure's curves, each a mean


@checked
def study(
    arms: Annotated[Sequence[str], Distinct()] = tuple(ARMS),
    seeds: Seeds = (0, 1, 2, 3, 4),
    source: Path | None = None,
    out: Path = Path("runs/voice"),
    steps: Count = 500,
    lr: Positive = 1e-2,
) -> str:
    """Train every arm with every seed, and return the table of all.

    Args:
        arms: which arms, as in '[shift, at_rate]'; shift, what all are compared with, must be one.
        seeds: of weights and windows.
        source: the folder of Debian's packages of prompts, or of their sounds; left out: the installed packages.
        out: folder to put results.json, table.md, figure.png, the models of the first seed and the codes in.
        steps: number of updates of each run.
        lr: peak learning rate of all arms.
    """
    check_arms(arms, ARMS, BASE)
    config = TrainConfig(steps=steps, lr=lr)
    corpus = load(source, out / "codes.pt")
    with locked(out):
        for other in (COST, HUM):
            (out / other).unlink(missing_ok=True)  # of another study
        results = {
            **origin("soundfile"),
            "data": ", ".join(VOICES[voice].package for voice in (*TRAINED, *UNSEEN)),
            "samples": {
                "train": len(corpus.train),
                **{name: len(counted(part)) for name, part in corpus.tests.items()},
            },
            "config": asdict(config),
            "seeds": list(seeds),
            "anchors": anchors(corpus),
            "runs": [],
        }
        todo = [(seed, arm) for seed in seeds for arm in arms]  # a slow minute of the machine meets every arm
        for seed, arm in tqdm(todo, unit="run"):
            model, losses = train(ARMS[arm], corpus.train, config, seed=seed)
            results["runs"].append(
                {"arm": arm, "seed": seed, **measure(model, corpus), "losses": _thinned(losses)}
            )
            write_json(out / RESULTS, results)  # after every run: `report` shows what there is
            if seed == seeds[0]:
                save_model(out / f"{arm}.pt", arm, model)
        return _report(out)


def measure(model: VoiceModel, corpus: Corpus) -> dict[str, float]:
    """Return what a trained model has to show: its size, how far its stream is apart, and its bits on every part.

    Raises:
        StreamError: It says something else in a stream.
    """
    return {
        "parameters": parameters(model),
        "stream_apart": stream_gate(model, corpus.val[:STREAMED]),
        **{name: bits_of(model, codes) for name, codes in corpus.tests.items()},
    }


def _thinned(losses: Sequence[float]) -> list[float]:
    """Means of up to CURVE equal stretches."""
    size = -(-len(losses) // CURVE)
    return [
        round(sum(part) / len(part), 4)
        for part in (losses[i : i + size] for i in range(0, len(losses), size))
    ]


@checked
def cost(source: Path | None = None, rounds: Count = 20, out: Path = Path("runs/voice")) -> str:
    """Time a training step of every arm of a study, all in turn, and return the table with the times.

    Args:
        source: as of `study`.
        rounds: steps of each.
        out: folder of a study.
    """
    results = read_results(out, ARMS, BASE)
    arms = list(dict.fromkeys(run["arm"] for run in results["runs"]))
    corpus = load(source, out / "codes.pt")
    with locked(out):
        config = TrainConfig(**results["config"])
        runs = {arm: Run(build(ARMS[arm]), corpus.train, config, seed=0) for arm in arms}
        times = cpu_ms({arm: run.step for arm, run in runs.items()}, rounds=rounds)
        write_json(out / COST, {**origin(), "step_ms": times})
        return _report(out)


@checked
def hum(source: Path | None = None, out: Path = Path("runs/voice")) -> str:
    """Code the unseen voices without what is below 180 Hz, by the models of a study, and return the tables with that.

    Args:
        source: as of `study`.
        out: folder of a study.
    """
    results = read_results(out, ARMS, BASE)
    arms = list(dict.fromkeys(run["arm"] for run in results["runs"]))
    models = {arm: load_model(out / f"{arm}.pt") for arm in arms}
    corpus = load(source, out / "codes.pt")
    with locked(out):
        found = bits_without_hum({"LPC": fitted_lpc(corpus), **models}, corpus.unseen)
        write_json(out / HUM, {**origin(), "bits": found})
        return _report(out)


def report(out: Path = Path("runs/voice")) -> str:
    """Make table.md and figure.png anew, and return the table.

    Args:
        out: folder of a study.
    """
    read_results(out, ARMS, BASE)
    with locked(out):
        return _report(out)


def _report(out: Path) -> str:
    results = read_results(out, ARMS, BASE)
    times = json.loads((out / COST).read_text())["step_ms"] if (out / COST).exists() else {}
    found = json.loads((out / HUM).read_text())["bits"] if (out / HUM).exists() else {}
    text = table(results, times, found)
    write_text(out / "table.md", text + "\n")
    plot(results, out / "figure.png")
    return text
