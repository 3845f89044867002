"""Time another checkout of the library beside this one, in one run.

    python benchmarks/beside.py --other PATH

Each checkout has a process of its own, which imports its dsptorch. For every arm the two take turns, in the order A B,
then B A, so that a machine that slows down slows both alike. Within a process the literal block and a copy of the
tensor run beside the layers, so that ratios to them come from the same rounds.
"""

import argparse
import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import openmp_policy  # noqa: F401  # before torch, which reads what it sets
import torch
from harness import Timing, add_options, cores, facts, print_facts, save, table

THIS, OTHER = "this", "other"
CASES = ("multirate", "token")
MARK = "beside: "  # before every answer, as in beside_worker.py
SPAN = 20.0  # milliseconds that a timing takes at least: a shorter call is repeated
WITHIN = {
    "literal / ours": ("literal", "ours"),
    "literal / ours compiled": ("literal", "ours, compiled"),
    "literal compiled / ours compiled": ("literal, compiled", "ours, compiled"),
    "ours / copy": ("ours", "copy"),
    "ours compiled / copy": ("ours, compiled", "copy"),
    "ours, fold=False / fold=True": ("ours, fold=False", "ours, fold=True"),
}
"""Ratios within one checkout: numerator and denominator."""


class WorkerError(Exception):
    """The process of a checkout failed."""


class Worker:
    """The process of one checkout; a context that ends it.

    Args:
        label: The name of the checkout in messages.
        root: Its folder, the one that has `dsptorch` in it.
        config: Sizes, cases, threads and seed.
    """

    def __init__(self, label: str, root: Path, config: Mapping[str, Any]) -> None:
        self.label, self.root = label, root.resolve()
        if not (self.root / "dsptorch" / "__init__.py").is_file():
            raise WorkerError(f"{label}: expected a checkout of dsptorch, got {root}, which has no dsptorch/")
        path = os.pathsep.join(filter(None, [str(self.root), os.environ.get("PYTHONPATH")]))
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115  # __exit__ closes it
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("beside_worker.py")), json.dumps(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )

    def __enter__(self) -> "Worker":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._log.close()

    def start(self) -> dict[str, Any]:
        """Wait until all arms have run once, and return what there is.

        Raises:
            WorkerError: If it failed, or has imported another dsptorch.
        """
        known = self._answer()
        if Path(known["file"]).resolve().parents[1] != self.root:
            raise WorkerError(f"{self.label}: expected dsptorch from {self.root}, got {known['file']}")
        return known

    def run(self, arm: str, calls: int = 1) -> float:
        """Return the milliseconds of a call, on average over `calls`."""
        if self._process.stdin is None:
            raise WorkerError(f"{self.label}: has no stdin")
        with contextlib.suppress(BrokenPipeError):  # the answer, which is missing, says why
            print(json.dumps({"arm": arm, "calls": calls}), file=self._process.stdin, flush=True)
        return float(self._answer()["milliseconds"])

    def _answer(self) -> dict[str, Any]:
        lines = (line for line in self._process.stdout or () if line.startswith(MARK))
        line = next(lines, None)
        answer: dict[str, Any] = {"error": "it ended without an answer"}
        if line is not None:
            answer = json.loads(line.removeprefix(MARK))
        if "error" in answer:
            code = self._process.wait()
            self._log.seek(0)
            tail = "".join(self._log.readlines()[-20:])
            raise WorkerError(f"{self.label} ({self.root}): {answer['error']}; exit code {code}\n{tail}")
        return answer


def measure(workers: Sequence[Worker], arms: Sequence[str], repeats: int) -> dict[str, dict[str, Timing]]:
    """Time every arm in every round, in all workers right after each other; return timings by worker and arm."""
    calls = {arm: max(1, round(SPAN / max(worker.run(arm) for worker in workers))) for arm in arms}
    times: dict[str, dict[str, list[float]]] = {w.label: {arm: [] for arm in arms} for w in workers}
    order, draw = list(arms), random.Random(0)
    for round_ in range(repeats):
        draw.shuffle(order)
        for arm in order:
            for worker in workers if round_ % 2 == 0 else reversed(workers):
                times[worker.label][arm].append(worker.run(arm, calls[arm]))
    return {label: {arm: Timing.of(t) for arm, t in of.items()} for label, of in times.items()}


def quotients(above: Timing, below: Timing) -> tuple[float, float, float]:
    """Return the median and the quartiles of the ratios of each round."""
    low, median, high = statistics.quantiles(
        [a / b for a, b in zip(above.times, below.times, strict=True)], n=4, method="inclusive"
    )
    return median, low, high


def words(ratio: tuple[float, float, float]) -> str:
    return f"{ratio[0]:.2f} ({ratio[1]:.2f} to {ratio[2]:.2f})"


def ratios_within(timings: Mapping[str, Timing]) -> dict[str, tuple[float, float, float]]:
    """Return the ratios of `WITHIN` for each mode, as far as there are such arms."""
    found = {}
    for mode in ("forward", "forward + backward"):
        for name, pair in WITHIN.items():
            above, below = (timings.get(f"{mode}: {arm}") for arm in pair)
            if above is not None and below is not None:
                found[f"{mode}: {name}"] = quotients(above, below)
    return found


def commit(root: Path) -> str | None:
    """Return the commit of a checkout, with a + where files differ from it; None without git."""
    run = subprocess.run(
        ["git", "-C", str(root), "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+"],
        capture_output=True,
        text=True,
        check=False,
    )
    return run.stdout.strip() or None


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--other", type=Path, required=True, help="folder of the other checkout")
    parser.add_argument(
        "--this", type=Path, default=Path(__file__).parents[1], help="(default: this checkout)"
    )
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), help="(default: all)")
    parser.add_argument("--eager", action="store_true", help="leave out what is compiled")
    parser.add_argument("--batch", type=int, default=8, help="of the whole signals (default: %(default)s)")
    parser.add_argument("--time", type=int, default=512, help="their samples (default: %(default)s)")
    parser.add_argument("--d-model", type=int, default=256, help="channels (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=cores(), help="of torch (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and inputs (default: %(default)s)")
    add_options(parser, "beside", repeats=30)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Time and report."""
    options = options_of(arguments)
    torch.set_num_threads(options.threads)
    known = facts(torch.device("cpu"))
    print_facts(known)
    names = ("cases", "batch", "time", "d_model", "threads", "seed")
    config = {name: getattr(options, name) for name in names} | {"compile": not options.eager}
    try:
        with Worker(THIS, options.this, config) as this, Worker(OTHER, options.other, config) as other:
            checkouts = {w.label: w.start() | {"commit": commit(w.root)} for w in (this, other)}
            arms, others = (checkouts[label].pop("arms") for label in (THIS, OTHER))
            timings = measure((this, other), [arm for arm in arms if arm in others], options.repeats)
    except WorkerError as error:
        sys.exit(f"Nothing was timed to the end. {error}")
    result = {"facts": known, "options": vars(options), "checkouts": checkouts, "milliseconds": timings}
    for label, checkout in checkouts.items():
        print(f"{label}: dsptorch {checkout['dsptorch']}, commit {checkout['commit']}")
        for arm, why in checkout["missing"].items():
            print(f"  without {arm}: {why}")
    gains = {arm: quotients(timings[OTHER][arm], timings[THIS][arm]) for arm in timings[THIS]}
    rows = [[arm, *(str(timings[label][arm]) for label in (THIS, OTHER)), words(gains[arm])] for arm in gains]
    print("\nMilliseconds of a call: median (quartiles). other / this: above 1, this checkout is faster.\n")
    print(table(["arm", THIS, OTHER, "other / this"], rows))
    within = {label: ratios_within(of) for label, of in timings.items()}
    if within[THIS]:
        print("\nRatios within each checkout\n")
        rows = [[name, *(words(within[label][name]) for label in (THIS, OTHER))] for name in within[THIS]]
        print(table(["ratio", THIS, OTHER], rows))
    save(options.output, result | {"other / this": gains, "within": within})


if __name__ == "__main__":
    main()
