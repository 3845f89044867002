"""`verify` as a user runs it, killed in the middle."""

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from gpt.train import train
from gpt.verification.plan import read_plan

from tests.forked import fork
from tests.recipes.test_gpt_cli import curve, run_here
from tests.recipes.verified import write_files

ARGUMENTS = (
    "verify --baseline base.yaml --treatment treated.yaml --seeds 42 --long-steps 300 --results-dir results"
    " --workers 2"
)
LEADER = """
import os
import sys

from gpt_enwik8 import main

os.setsid()
main(sys.argv[1:])
"""
"""The program as the leader of a group of processes, which its runs join."""


def steps(folder: Path) -> int:
    log = folder / "metrics.jsonl"
    return len(log.read_text().splitlines()) if log.exists() else 0


@pytest.mark.slow
def test_killed_by_sigkill_it_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """First the program alone, whose runs outlive it; then all of it, with its runs."""
    write_files(tmp_path)
    for file in tmp_path.glob("*.yaml"):
        file.write_text(file.read_text() + "checkpoint_every: 20\n")
    (tmp_path / "leader.py").write_text(LEADER)
    for reached, kill in ((30, os.kill), (130, os.killpg)):
        process = fork(
            tmp_path / "leader.py", *ARGUMENTS.split(), folder=tmp_path, out=tmp_path / f"said{reached}"
        )
        assert process.pid
        while (
            min(steps(tmp_path / "results" / f"{arm}-steps300-seed42") for arm in ("base", "treated"))
            < reached
        ):
            assert process.exitcode is None
            time.sleep(0.01)
        kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL
    monkeypatch.chdir(tmp_path)
    run_here(*ARGUMENTS.split())
    said = capfd.readouterr()
    assert said.out == "2 runs are finished in results\n"
    assert "/600 [" in said.err

    for run in read_plan(tmp_path / "results"):
        whole = tmp_path / "whole" / run.arm
        train(replace(run.config, out=whole))
        assert curve(whole) == curve(tmp_path / run.config.out)
