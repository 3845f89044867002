"""The study: arms times seeds, beside the baselines, summed up in results.json, table.md and figure.png."""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from gpt.checkpoint import write_text
from gpt.table import markdown
from torch import Tensor, nn
from tqdm import tqdm

from .arms import ARMS, parameters
from .baselines import baselines
from .cost import step_ms
from .data import FILE, RATE, Recording, load
from .evaluate import CONTEXT, Forecast, at_once, errors, in_chunks, memory, rmse, ways
from .figure import plot
from .table import mean_and_spread, table
from .train import TrainConfig, check_length, train

RESULTS, COST = "results.json", "step_ms.json"
EXAMPLE = 5.0  # seconds of the figure's example, from the middle of the test part
DRAWN = ("plain", "multirate")  # arms drawn there


def study(
    arms: Sequence[str] = tuple(ARMS),
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    out: Path = Path("runs/ppg"),
    horizon: int = 25,
    steps: int = 600,
    lr: float = 2e-2,
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
    unknown = sorted(set(arms) - set(ARMS))
    if unknown or "plain" not in arms or not seeds:
        raise ValueError(
            f"expected arms among {', '.join(ARMS)}, plain with them, and a seed; got {unknown or list(arms)} and "
            f"seeds {list(seeds)}"
        )
    config = TrainConfig(horizon=horizon, steps=steps, lr=lr)
    recording = load()
    check_length(recording, config)
    out.mkdir(parents=True, exist_ok=True)

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
    results = {
        "command": shlex.join(["python", *sys.argv]),
        "data": f"{FILE} of heartpy {version('heartpy')}, {len(recording.signal):,} samples at {RATE} Hz",
        "parts": recording.parts,
        "scale": recording.scale,
        "config": asdict(config),
        "seeds": list(seeds),
        "machine": machine(),
        "baselines": rows,
        "runs": runs,
        "example": examples,
    }
    (out / COST).unlink(missing_ok=True)  # of another study
    write_text(out / RESULTS, json.dumps(results, indent=1) + "\n")
    return report(out)


def cost(rounds: int = 60, out: Path = Path("runs/ppg")) -> str:
    """Time a training step of every arm, all in turn, and return the table with it.

    Args:
        rounds: steps of each.
        out: folder of a study.
    """
    results = _read(out)
    arms = list(dict.fromkeys(run["arm"] for run in results["runs"]))
    times = {
        "command": shlex.join(["python", *sys.argv]),
        "machine": machine(),
        "step_ms": step_ms(arms, load(), rounds=rounds),
    }
    write_text(out / COST, json.dumps(times, indent=1) + "\n")
    return report(out)


def report(out: Path = Path("runs/ppg")) -> str:
    """Make table.md and figure.png anew, and return the table.

    Args:
        out: folder of a study.
    """
    results = _read(out)
    times = json.loads((out / COST).read_text())["step_ms"] if (out / COST).exists() else {}
    text = table(results, times)
    write_text(out / "table.md", text + "\n")
    plot(results, out / "figure.png")
    return text


def tune(
    lrs: Sequence[float] = (3e-3, 1e-2, 2e-2, 4e-2),
    seeds: Sequence[int] = (0, 1, 2),
    out: Path = Path("runs/ppg"),
    horizon: int = 25,
    steps: int = 600,
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
    rows = []
    for lr in lrs:
        models = [train(ARMS["plain"], recording, replace(config, lr=lr), seed=seed) for seed in seeds]
        found = [rmse(ways(model)["at_once"], recording, "val", horizon=horizon) for model in models]
        rows.append((f"{lr:g}", mean_and_spread(found)))
    out.mkdir(parents=True, exist_ok=True)
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


def machine() -> dict[str, Any]:
    """Return what the times depend on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "lightning", "dsptorch", "heartpy")},
    }


def _read(out: Path) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((out / RESULTS).read_text())
    return results


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
