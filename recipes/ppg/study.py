"""The study: arms times seeds, beside the baselines, summed up in results.json, table.md and figure.png."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import torch
from gpt.checkpoint import write_text
from gpt.lock import locked
from gpt.ranges import Count, Distinct, Positive, Seeds, checked
from gpt.study_files import RESULTS, check_arms, origin, read_results, write_json
from gpt.table import markdown, mean_and_spread
from torch import Tensor, nn
from tqdm import tqdm

from .arms import ARMS, parameters
from .baselines import baselines
from .cost import step_ms
from .data import FILE, RATE, Recording, load
from .evaluate import CONTEXT, Forecast, at_once, errors, in_chunks, memory, rmse, ways
from .figure import plot
from .table import table
from .train import TrainConfig, check_length, train

COST = "step_ms.json"
EXAMPLE = 5.0  # seconds of the figure's example, from the middle of the test part
DRAWN = ("plain", "multirate")  # arms drawn there


@checked
def study(
    arms: Annotated[Sequence[str], Distinct()] = tuple(ARMS),
    seeds: Seeds = (0, 1, 2, 3, 4),
    out: Path = Path("runs/ppg"),
    horizon: Count = 25,
    steps: Count = 600,
    lr: Positive = 2e-2,
) -> str:
    """Train every arm with every seed, and return the table of all.

    Args:
        arms: which arms, as in '[plain, multirate]'; plain, what all are compared with, must be one.
        seeds: of weights and windows.
        out: folder to put results.json, table.md and figure.png in.
        horizon: how far ahead to forecast, in samples of 1 / 100.4 s.
        steps: number of updates of each run.
        lr: peak learning rate of all arms; see `tune`.
    """
    check_arms(arms, ARMS, "plain")
    config = TrainConfig(horizon=horizon, steps=steps, lr=lr)
    recording = load()
    check_length(recording, config)
    with locked(out):
        results = _results(arms, seeds, recording, config)
        (out / COST).unlink(missing_ok=True)  # of another study
        write_json(out / RESULTS, results)
        return _report(out)


def _results(
    arms: Sequence[str], seeds: Sequence[int], recording: Recording, config: TrainConfig
) -> dict[str, Any]:
    """Train every arm with every seed, and return what results.json is to hold."""
    horizon = config.horizon
    references = baselines(recording, horizon=horizon)
    rows = [
        {"label": label, "memory": sees, **_all_errors(forecast, recording, horizon)}
        for label, (forecast, sees) in references.items()
    ]
    best = min(rows, key=lambda row: row["val_rmse"])["label"]
    examples = {
        "signal": _example(torch.clone, recording, 0),
        best: _example(references[best][0], recording, horizon),
    }
    runs = []
    todo = [(seed, arm) for seed in seeds for arm in arms]  # a slow minute of the machine meets every arm
    for seed, arm in tqdm(todo, unit="run"):
        model = train(ARMS[arm], recording, config, seed=seed)
        runs.append({"arm": arm, "seed": seed, **measure(model, recording, horizon=horizon)})
        if arm in DRAWN and seed == seeds[0]:
            examples[ARMS[arm].label] = _example(partial(at_once, model), recording, horizon)
    return {
        **origin("heartpy"),
        "data": f"{FILE} of heartpy {version('heartpy')}, {len(recording.signal):,} samples at {RATE} Hz",
        "parts": recording.parts,
        "scale": recording.scale,
        "config": asdict(config),
        "seeds": list(seeds),
        "baselines": rows,
        "runs": runs,
        "example": examples,
    }


@checked
def cost(rounds: Count = 60, out: Path = Path("runs/ppg")) -> str:
    """Time a training step of every arm, all in turn, and return the table with it.

    Args:
        rounds: steps of each.
        out: folder of a study.
    """
    arms = list(dict.fromkeys(run["arm"] for run in read_results(out, ARMS, "plain")["runs"]))
    with locked(out):
        times = {
            **origin("heartpy"),
            "step_ms": step_ms(arms, load(), rounds=rounds),
        }
        write_json(out / COST, times)
        return _report(out)


def report(out: Path = Path("runs/ppg")) -> str:
    """Make table.md and figure.png anew, and return the table.

    Args:
        out: folder of a study.
    """
    read_results(out, ARMS, "plain")
    with locked(out):
        return _report(out)


def _report(out: Path) -> str:
    results = read_results(out, ARMS, "plain")
    times = json.loads((out / COST).read_text())["step_ms"] if (out / COST).exists() else {}
    text = table(results, times)
    write_text(out / "table.md", text + "\n")
    plot(results, out / "figure.png")
    return text


@checked
def tune(
    lrs: Annotated[Sequence[Positive], Distinct()] = (3e-3, 1e-2, 2e-2, 4e-2),
    seeds: Seeds = (0, 1, 2),
    out: Path = Path("runs/ppg"),
    horizon: Count = 25,
    steps: Count = 600,
) -> str:
    """Choose the learning rate by the plain arm's validation error, before any treatment is run.

    Args:
        lrs: peak learning rates.
        seeds: of weights and windows.
        out: folder to put tune.md in.
        horizon: as of `study`.
        steps: as of `study`.
    """
    recording, config = load(), TrainConfig(horizon=horizon, steps=steps)
    check_length(recording, config)
    rows = []
    with locked(out):
        for lr in lrs:
            models = [train(ARMS["plain"], recording, replace(config, lr=lr), seed=seed) for seed in seeds]
            found = [rmse(ways(model)["at_once"], recording, "val", horizon=horizon) for model in models]
            rows.append((f"{lr:g}", mean_and_spread(found)))
        text = markdown(("lr", "validation RMSE"), rows)
        write_text(out / "tune.md", text + "\n")
    return text


def measure(model: nn.Module, recording: Recording, *, horizon: int) -> dict[str, Any]:
    """Return what a trained model has to show; errors in counts."""
    forecasts = ways(model)
    start, end = recording.parts["test"]
    signal = recording.signal[start:end]
    apart = (in_chunks(model, signal) - at_once(model, signal)).abs().max().item()
    return {
        "parameters": parameters(model),
        "memory": memory(model),
        **_all_errors(forecasts["at_once"], recording, horizon),
        "test_rmse_windows": rmse(forecasts["in_windows"], recording, "test", horizon=horizon),
        "test_rmse_chunks": rmse(forecasts["in_chunks"], recording, "test", horizon=horizon),
        "chunks_apart": recording.scale * apart,  # greatest difference of a forecast in chunks and at once
    }


def _all_errors(forecast: Forecast, recording: Recording, horizon: int) -> dict[str, Any]:
    test = errors(forecast, recording, "test", horizon=horizon)
    val = rmse(forecast, recording, "val", horizon=horizon)
    return {"val_rmse": val, "test_rmse": test.rmse, "test_mae": test.mae}


def _example(forecast: Forecast, recording: Recording, horizon: int) -> list[float]:
    """Return a few seconds of forecasts, in counts, at the times that they are forecasts of."""
    start, end = recording.parts["test"]
    first = (start + end) // 2
    after = min(first + round(EXAMPLE * RATE), end)
    made: Tensor = forecast(recording.signal[first - horizon - CONTEXT : after - horizon])[CONTEXT:]
    return [round(value, 1) for value in (recording.mean + recording.scale * made).tolist()]
