"""`verify` as a user runs it, killed in the middle."""

import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from gpt.train import train
from gpt.verification.plan import read_plan

from tests.recipes.test_gpt_cli import command, curve
from tests.recipes.verified import write_files

ARGUMENTS = (
    "verify --baseline base.yaml --treatment treated.yaml --seeds 42 --long-steps 300 --results-dir results"
)


def steps(folder: Path) -> int:
    log = folder / "metrics.jsonl"
    return len(log.read_text().splitlines()) if log.exists() else 0


@pytest.mark.slow
def test_killed_by_sigkill_it_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """First the program alone, whose runs outlive it; then all of it, with its runs."""
    write_files(tmp_path)
    for file in tmp_path.glob("*.yaml"):
        file.write_text(file.read_text() + "checkpoint_every: 20\n")
    started = [*command(), *ARGUMENTS.split(), "--workers", "2"]
    for reached, kill in ((30, os.kill), (130, os.killpg)):
        with subprocess.Popen(
            started,
            cwd=tmp_path,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            while (
                min(steps(tmp_path / "results" / f"{arm}-steps300-seed42") for arm in ("base", "treated"))
                < reached
            ):
                assert process.poll() is None
                time.sleep(0.01)
            kill(process.pid, signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
    ended = subprocess.run(started, cwd=tmp_path, capture_output=True, check=False, timeout=200)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == b"2 runs are finished in results\n"
    assert b"/600 [" in ended.stderr

    monkeypatch.chdir(tmp_path)
    for run in read_plan(tmp_path / "results"):
        whole = tmp_path / "whole" / run.arm
        train(replace(run.config, out=whole))
        assert curve(whole) == curve(tmp_path / run.config.out)
