"""Runs on a cluster: each is a task of Ray, which chooses the machine that makes it.

The machines share the folder of the results, this checkout and the text, under the same paths. What a run has done is
read in that folder, as of a run of this machine, and the lock that claims a run is held by the task.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from ..errors import UsageError
from ..lock import claim
from .engine import POLL, SCRIPT, Start, beside, output_of, start_process, train_command
from .plan import Run

PATIENCE = 30  # seconds that a cancelled run has to end


@contextmanager
def on_ray(
    address: str,
    *,
    workers: int,
    finished: Callable[[Run], bool],
    command: Callable[[Run], list[str]] = train_command,
) -> Iterator[Start]:
    """Connect to a cluster, and return what starts runs as its tasks: `start` of `run_side_by_side`.

    Args:
        address: of the cluster; "auto" for the one that this machine is of, "local" for one of this machine alone.
        workers: how many runs at a time, each with its share of the cluster's cores.
        finished: whether a run has its result.
        command: the command that makes a run.

    Raises:
        UsageError: Ray is not installed, or there is no such cluster.
    """
    ray = _imported()
    path = os.pathsep.join(filter(None, (str(SCRIPT.parent), os.environ.get("PYTHONPATH"))))
    options = {"include_dashboard": False} if address == "local" else {}
    try:
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level="ERROR",
            runtime_env={"env_vars": {"PYTHONPATH": path}},
            **options,
        )
    except (ConnectionError, ValueError) as error:
        raise UsageError(
            f"ray: expected the address of a Ray cluster, got {address!r} ({error}); start one with "
            "`ray start --head`, or give local"
        ) from error
    try:
        threads = _share(ray, workers)
        environment = {} if "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": str(threads)}
        gpus = 1 if ray.cluster_resources().get("GPU") else 0

        def start(waiting: list[Run], worker: int) -> tuple[Run, Task]:
            run = waiting.pop(0)
            task = ray.remote(
                num_cpus=threads, num_gpus=gpus if run.config.accelerator != "cpu" else 0, max_retries=0
            )(make)
            arguments = run, command(run), environment, finished, os.getcwd()
            return run, Task(ray, task.options(name=str(run)).remote(*arguments), output_of(run))

        yield start
    finally:
        ray.shutdown()


def make(
    run: Run,
    command: list[str],
    environment: dict[str, str],
    finished: Callable[[Run], bool],
    folder: str,
) -> int:
    """Make a run on the machine of this task, unless somebody else has by the time that it is free."""
    os.chdir(folder)
    while (claimed := claim(beside(run, ".lock"))) is None:
        time.sleep(POLL)
    with claimed:
        if finished(run):
            return 0
        process = start_process([sys.executable, *command[1:]], environment, claimed, output_of(run))
        try:
            return process.wait()
        finally:  # also where the task is cancelled
            if process.poll() is None:
                process.terminate()
                process.wait()


class Task:
    """A run that Ray makes, looked at as a process.

    Args:
        ray: the module.
        reference: to the exit status that the task returns.
        output: where a message goes that the run could not write itself.
    """

    def __init__(self, ray: ModuleType, reference: object, output: Path) -> None:
        self.ray, self.reference, self.output = ray, reference, output
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit status, or None while the run is being made or waits for its turn."""
        if self.returncode is None and self.ray.wait([self.reference], timeout=0)[0]:
            try:
                self.returncode = int(self.ray.get(self.reference))
            except self.ray.exceptions.RayError as error:  # a machine that is gone, or a cancelled task
                with self.output.open("a") as said:
                    said.write(f"{error}\n")
                self.returncode = 1
        return self.returncode

    def terminate(self) -> None:
        """End the run; it goes on from its checkpoint."""
        self.ray.cancel(self.reference)

    def wait(self) -> int | None:
        """Wait until a run that was ended has ended."""
        self.ray.wait([self.reference], timeout=PATIENCE)
        return self.poll()


def _share(ray: ModuleType, workers: int) -> int:
    """Return how many cores a run has: its share of all, and no more than one machine has."""
    largest = max(node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"])
    return max(1, int(min(ray.cluster_resources().get("CPU", 0) // workers, largest)))


def _imported() -> ModuleType:
    try:
        import ray  # noqa: PLC0415, an extra
    except ImportError as error:
        raise UsageError("ray: expected Ray, which is not installed; pip install 'dsptorch[ray]'") from error
    module: ModuleType = ray
    return module
