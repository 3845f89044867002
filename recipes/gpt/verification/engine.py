"""Runs side by side, and one progress bar over all: processes of this machine, each with its share of the cores.

A run is claimed by a lock on a file, which its process holds as long as it lives, so that no run is made twice at a
time: neither by this program started again after a kill, whose runs may have outlived it, nor by the same command on
another machine that shares the folder.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Protocol

import torch
from tqdm import tqdm

from ..errors import RecipeError
from ..lock import claim
from ..machine import cores
from ..metrics import LOG, read_last
from .plan import Run

SCRIPT = Path(__file__).resolve().parents[2] / "gpt_enwik8.py"
POLL = 0.2  # seconds


class Process(Protocol):
    """A run that is being made: what of `subprocess.Popen` is used."""

    returncode: int | None

    def poll(self) -> int | None:
        """Return the exit status, or None."""

    def terminate(self) -> None:
        """End the run."""

    def wait(self) -> int | None:
        """Wait for its end."""


Start = Callable[[list[Run], int], tuple[Run, Process] | None]
"""Starts one of the runs in a list for a worker, takes it off the list, and those that others have finished."""


class RunsError(RecipeError, RuntimeError):
    """Some runs ended without a result."""


def run_side_by_side(
    runs: Sequence[Run],
    *,
    workers: int,
    finished: Callable[[Run], bool],
    command: Callable[[Run], list[str]] | None = None,
    start: Start | None = None,
) -> None:
    """Make the runs that are not finished, `workers` of them at a time, and wait for those that others are making.

    Args:
        runs: the runs.
        workers: how many processes at a time.
        finished: whether a run has its result.
        command: the command that makes a run; None: `train`.
        start: what starts a run; None: a process of this machine.

    Raises:
        RunsError: Some ended without a result; the others were made.
    """
    waiting = [run for run in runs if not finished(run)]
    running: dict[int, tuple[Run, Process]] = {}
    failed: list[Run] = []
    start = start or partial(_start_one, workers=workers, finished=finished, command=command or train_command)
    before = sum(map(steps_done, runs))
    total = sum(run.steps for run in runs)
    # smoothing=0: the time left is told by the speed so far, of which starts and validations are a part.
    with (
        _exit_on_sigterm(),
        tqdm(desc="all runs", initial=before, total=total, unit="step", mininterval=1, smoothing=0) as bar,
    ):
        try:
            while waiting or running:
                for worker in set(range(workers)) - running.keys():
                    started = start(waiting, worker) if waiting else None
                    if started:
                        running[worker] = started
                time.sleep(POLL)
                for worker, (run, process) in list(running.items()):
                    if process.poll() is not None:
                        del running[worker]
                        if process.returncode or not finished(run):
                            failed.append(run)
                left = len(waiting) + len(running)
                bar.set_postfix_str(f"{len(runs) - left} of {len(runs)} runs", refresh=False)
                bar.update(sum(map(steps_done, runs)) - bar.n)
        finally:
            for _, process in running.values():
                process.terminate()  # the run goes on from its checkpoint
            for _, process in running.values():
                process.wait()
    if failed:
        why = "; ".join(f"{run}: {_last_line(output_of(run))}" for run in failed)
        raise RunsError(f"expected a result of every run, got none of {len(failed)} ({why})")


@contextmanager
def _exit_on_sigterm() -> Iterator[None]:
    """Let SIGTERM, which schedulers send, end this program in order, so that it stops its runs."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def train_command(run: Run) -> list[str]:
    """Return the command that makes a run."""
    return [sys.executable, str(SCRIPT), "train", *run.arguments]


def steps_done(run: Run) -> int:
    """Return how far a run is, by its log."""
    last = read_last(run.config.out / LOG)
    return min(run.steps, last["step"]) if last else 0


def share(worker: int, workers: int) -> dict[str, str]:
    """Return the environment of a worker: its share of the cores, and its GPU where there are several.

    A number of threads or a choice of GPUs by the user is kept.
    """
    environment = {"OMP_NUM_THREADS": str(max(1, cores() // workers))}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    gpus = visible.split(",") if visible else list(map(str, range(torch.cuda.device_count())))
    if len(gpus) > 1:
        environment["CUDA_VISIBLE_DEVICES"] = gpus[worker % len(gpus)]
    if "OMP_NUM_THREADS" in os.environ:
        del environment["OMP_NUM_THREADS"]
    return environment


def _start_one(
    waiting: list[Run],
    worker: int,
    *,
    workers: int,
    finished: Callable[[Run], bool],
    command: Callable[[Run], list[str]],
) -> tuple[Run, subprocess.Popen[bytes]] | None:
    """Start the first run that nobody is making, and take it and those that others have finished off the list."""
    for run in list(waiting):
        claimed = claim(beside(run, ".lock"))
        if claimed is None:
            continue
        with claimed:
            waiting.remove(run)
            if not finished(run):  # by who made it until now
                return run, start_process(command(run), share(worker, workers), claimed, output_of(run))
    return None


def start_process(
    command: Sequence[str], environment: Mapping[str, str], claimed: IO[str], output: Path
) -> subprocess.Popen[bytes]:
    """Start a command that holds a claim as long as it lives, and writes into a file."""
    with output.open("ab") as said:
        return subprocess.Popen(
            command,
            env={**os.environ, "TQDM_MININTERVAL": "30", **environment},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            pass_fds=[claimed.fileno()] if os.name == "posix" else (),
        )


def beside(run: Run, suffix: str) -> Path:
    """Return a file beside the folder of a run."""
    return run.config.out.with_name(run.config.out.name + suffix)


def output_of(run: Run) -> Path:
    """Return the file of what a run says."""
    return beside(run, ".out")


def _last_line(file: Path) -> str:
    lines = file.read_text(errors="replace").strip().splitlines()
    return f"{lines[-1]} (in {file})" if lines else f"nothing is in {file}"
