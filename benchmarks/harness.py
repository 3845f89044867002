"""What the benchmarks share: interleaved timing, peak memory, facts on the machine, tables and JSON.

`torch.utils.benchmark.Timer` times one statement after the other, so that a machine that slows down between two
of them favours the first. Here the arms take turns in every round, in an order drawn anew for each.
"""

import argparse
import json
import os
import platform
import random
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault(
    "KINETO_LOG_LEVEL", "99"
)  # the profiler of PyTorch 2.13 prints a line at every start and stop

import openmp_policy  # noqa: F401  # before torch, which reads what it sets
import torch

import dsptorch

MIB = 2**20


@dataclass(frozen=True)
class Timing:
    """Wall-clock times of one arm in milliseconds.

    Args:
        median: Of all rounds.
        quartiles: The first and the third.
        times: Of every round, in the order of the rounds.
    """

    median: float
    quartiles: tuple[float, float]
    times: list[float]

    @classmethod
    def of(cls, times: Sequence[float]) -> "Timing":
        """Sum up at least two times."""
        low, median, high = statistics.quantiles(times, n=4, method="inclusive")
        return cls(median, (low, high), [round(t, 4) for t in times])

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.quartiles[0]:.2f} to {self.quartiles[1]:.2f})"


def round_robin(
    arms: Mapping[str, Callable[[], object]],
    repeats: int,
    device: torch.device | None = None,
    *,
    warmup: int = 1,
    before: Callable[[], object] = lambda: None,
) -> dict[str, Timing]:
    """Time every arm once in each of `repeats` rounds, in an order drawn anew (seed 0) for each round.

    Args:
        arms: What to run, by name.
        repeats: Rounds, at least 2.
        device: What to synchronise with; None times the host alone.
        warmup: Untimed calls of an arm right before each timed one: they bring its data back into the caches.
        before: Called, untimed, before every call: sets gradients to None.
    """
    order, draw = list(arms), random.Random(0)
    times: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(repeats):
        draw.shuffle(order)
        for name in order:
            for _ in range(warmup + 1):
                before()
                synchronize(device)
                start = time.perf_counter()
                arms[name]()
                synchronize(device)
                elapsed = time.perf_counter() - start
            times[name].append(1e3 * elapsed)
    return {name: Timing.of(values) for name, values in times.items()}


def peak_memory(run: Callable[[], object], device: torch.device) -> int:
    """Return the most bytes that torch's allocator held during a call, above what it held before.

    CPU: the running total of the allocations and releases that `torch.profiler` records; what libraries allocate
    by themselves (the scratch space of oneDNN) is not in it. CUDA: `torch.cuda.max_memory_allocated`.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        held = torch.cuda.memory_allocated(device)
        run()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - held
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        run()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profile.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())["traceEvents"]
    changes = [(e["ts"], e["args"]["Bytes"]) for e in events if e.get("name") == "[memory]"]
    total = peak = 0
    for _, change in sorted(changes, key=lambda pair: pair[0]):
        total += change
        peak = max(peak, total)
    return peak


def synchronize(device: torch.device | None) -> None:
    """Wait for what was launched on a GPU."""
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)


def facts(device: torch.device) -> dict[str, Any]:
    """What a number depends on: the command, the versions, the machine and how busy it was."""
    return {
        "command": shlex.join(["python", *sys.argv]),
        "date": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "dsptorch": dsptorch.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "environment": {k: v for k, v in os.environ.items() if k.startswith(("OMP_", "MKL_"))},
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "load average before": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a Markdown table, the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first, *others = (
            c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join((first, *others))} |"

    rule = "|".join(["-" * (widths[0] + 2), *("-" * (w + 1) + ":" for w in widths[1:])])
    return "\n".join([line(head), f"|{rule}|", *map(line, rows)])


def print_facts(known: Mapping[str, Any]) -> None:
    """Print `facts`, one a line."""
    for name, value in known.items():
        print(f"{name}: {value}")
    print(flush=True)


def save(path: Path, result: Mapping[str, Any]) -> None:
    """Write every number to a JSON file, and say where."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1, default=_plain) + "\n")
    print(f"\nEvery number: {path}")


def _plain(value: Any) -> Any:
    return asdict(value) if isinstance(value, Timing) else str(value)


def add_options(parser: argparse.ArgumentParser, name: str, repeats: int) -> None:
    """Add the options of every benchmark: `--repeats` and `--output`."""
    output = Path("runs/benchmarks") / f"{name}.json"
    parser.add_argument(
        "--repeats", type=int, default=repeats, help="rounds, at least 2 (default: %(default)s)"
    )
    parser.add_argument("--output", type=Path, default=output, help="JSON (default: %(default)s)")


def add_torch_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of those that compute: `--threads`, `--device` and `--seed`."""
    cpu = torch.device("cpu")
    parser.add_argument(
        "--threads", type=int, default=cores(), help="of torch on the CPU (default: %(default)s)"
    )
    parser.add_argument("--device", type=torch.device, default=cpu, help="cpu or cuda (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and inputs (default: %(default)s)")
