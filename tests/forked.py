"""Processes that start at once: forks of a server that has imported what they need.

A process of the recipe or of a trainer imports for 6 to 10 seconds of CPU time before it does anything. Where a test
needs processes, but not their start, it forks them from a server, one for each worker of the suite.
"""

import multiprocessing
import os
import runpy
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple
from unittest import mock

ROOT = Path(__file__).parents[1]
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["tests.preloaded"])


class Ended(NamedTuple):
    """The exit status of a program and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


def _become(arguments: Sequence[str], folder: Path, environment: Mapping[str, str], out: Path) -> None:
    assert "tests.preloaded" in sys.modules, (
        "the server has not imported: the forks would do so, each for itself"
    )
    for stream, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(out.with_suffix(f".{name}"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a suite in the background ignores
    os.chdir(folder)
    os.environ.update(environment)
    program, *rest = arguments
    sys.argv = [program, *rest]
    if program.endswith(".py"):
        runpy.run_path(program, run_name="__main__")
    else:
        runpy.run_module(program, run_name="__main__", alter_sys=True)


def start_server() -> None:
    """Start the server if it does not run yet: it finds by this path what it imports."""
    with mock.patch.dict(os.environ, PYTHONPATH=os.pathsep.join([str(ROOT), *sys.path])):
        forkserver.ensure_running()


def fork(
    *arguments: object, folder: Path, out: Path, environment: Mapping[str, str] | None = None
) -> BaseProcess:
    """Start a program, the path of a script or the name of a module, as its command line would.

    Its output goes to the files `out`.stdout and `out`.stderr.
    """
    start_server()
    words = [str(argument) for argument in arguments]
    process = _SERVER.Process(target=_become, args=(words, folder, dict(environment or {}), out))
    process.start()
    return process


def run_processes(*arguments: object, folder: Path, processes: int, timeout: float = 200.0) -> Ended:
    """Run a program in as many processes as torchrun would, and as torchrun ends them: all, once one has failed."""
    shared = {}
    if processes > 1:
        with socket.socket() as free:
            free.bind(("localhost", 0))
            shared = {
                "MASTER_ADDR": "localhost",
                "MASTER_PORT": free.getsockname()[1],
                "WORLD_SIZE": processes,
            }
        shared |= {"LOCAL_WORLD_SIZE": processes, "GROUP_RANK": 0, "TORCHELASTIC_RUN_ID": "forked"}
    started = []
    for rank in range(processes):
        ranks = {"RANK": rank, "LOCAL_RANK": rank} if processes > 1 else {}
        environment = {name: str(value) for name, value in (shared | ranks).items()}
        out = folder / f"rank{rank}"
        started.append(fork(*arguments, folder=folder, out=out, environment=environment))
    end = time.monotonic() + timeout
    while any(process.exitcode is None for process in started):
        if any(process.exitcode for process in started) or time.monotonic() > end:
            for process in started:
                process.join(10)  # the others may have something to say
                process.kill()
        time.sleep(0.01)
    written = [
        "".join((folder / f"rank{rank}.{name}").read_text() for rank in range(processes))
        for name in ("stdout", "stderr")
    ]
    return Ended(next((process.exitcode for process in started if process.exitcode), 0), *written)
