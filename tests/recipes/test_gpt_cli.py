"""The command line as a user runs it: in a process of its own; in forks, where its start is not what is tested."""

import json
import os
import signal
import subprocess
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch
from gpt.checkpoint import read_checkpoint
from gpt.quickstart import ARMS
from gpt_enwik8 import main

from tests.forked import fork, run_processes

SCRIPT = Path(__file__).resolve().parents[2] / "recipes" / "gpt_enwik8.py"
TINY = """
model: {n_layer: 2, n_head: 2, d_model: 32, context: 32, dropout: 0.1}
arm: {multirate: {}, lfo_routing: {}, bottleneck: {}, fir: {init: delays}}
batch_size: 4
warmup: 5
eval_every: 20
log_every: 1
accelerator: cpu
"""


def run(folder: Path, *arguments: object) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=280)


def curve(folder: Path) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in r.items() if k not in ("tokens_per_s", "step_ms")} for r in records]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY)
    (tmp_path / "text").write_bytes(SCRIPT.read_bytes() * 4)
    return tmp_path


def train(*more: object) -> tuple[object, ...]:
    return ("train", "--config", "tiny.yaml", "--data", "text", "--steps", 60, *more)


def wait_for(log: Path, step: int, process: BaseProcess) -> None:
    """Return when the process has made a step."""
    while not log.exists() or f'"step": {step},' not in log.read_text():
        assert process.exitcode is None
        time.sleep(0.002)


def run_here(*arguments: object) -> None:
    """Run a command whose process is not what is tested: another one takes seconds to start."""
    main([str(argument) for argument in arguments])


def check_same_run(folder: Path) -> None:
    """The run that was cut and resumed is the one that was not, bit for bit."""
    assert curve(folder / "cut") == curve(folder / "whole")
    one, other = (read_checkpoint(folder / name / "checkpoint.pt")["model"] for name in ("cut", "whole"))
    assert all(torch.equal(one[name], other[name]) for name in other)


def test_an_unknown_key_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "wrong.yaml").write_text("model: {d_modle: 8}")
    with pytest.raises(SystemExit, match="2"):
        main(["train", "--config", str(folder / "wrong.yaml")])
    assert "model.d_modle" in capsys.readouterr().err


def test_prepare_prints_the_sizes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["prepare", "--data", str(folder / "text")])
    assert capsys.readouterr().out.startswith("text, bytes: train ")


@pytest.mark.slow
def test_train_then_generate(folder: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    done = run(folder, *train("--out", "run"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"validation ")
    assert b"tokens/s" in done.stderr
    text = ("generate", "--checkpoint", "run/checkpoint.pt", "--prompt", "def ", "--length", 50)
    assert run_processes(SCRIPT, *text, folder=folder, processes=1).returncode == 0
    written = (folder / "rank0.stdout").read_bytes()
    assert written.startswith(b"def ")
    assert len(written) == 4 + 50 + 1
    run_here(*text)
    assert capfdbinary.readouterr().out == written


@pytest.mark.slow
def test_killed_by_sigkill_and_resumed_it_is_the_same_run(folder: Path) -> None:
    run_here(*train("--out", "whole", "--checkpoint_every", 7))
    log = folder / "cut" / "metrics.jsonl"
    for reached in (3, 41):  # before any checkpoint, then after some
        resumed = train("--out", "cut", "--checkpoint_every", 7, "--resume", "true")
        process = fork(SCRIPT, *resumed, folder=folder, out=folder / "said")
        wait_for(log, reached, process)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    run_here(*train("--out", "cut", "--checkpoint_every", 7, "--resume", "true"))
    check_same_run(folder)


@pytest.mark.slow
def test_the_quick_start_runs_to_its_end(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {arm: (*files, "small") for arm, files in ARMS.items()}
    monkeypatch.setattr("gpt.quickstart.ARMS", small)
    monkeypatch.setattr("gpt.quickstart.VALIDATION", 8192)
    run_here("quickstart", "--steps", 1, "--out", "quick")
    text = capfd.readouterr().out
    assert "DATA: " in text
    assert text.index("It will take about ") < text.index("plain GPT, RoPE") < text.index("| plain GPT, RoPE")
    assert "Sample of " in text
    assert (folder / "quick" / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_stopped_by_ctrl_c_and_resumed_it_is_the_same_run(folder: Path) -> None:
    """And while it runs, nothing else runs in its folder."""
    run_here(*train("--out", "whole", "--checkpoint_every", 7))
    log = folder / "cut" / "metrics.jsonl"
    cut = train("--out", "cut", "--checkpoint_every", 7)
    process = fork(SCRIPT, *cut, folder=folder, out=folder / "said")
    assert process.pid
    wait_for(log, 10, process)
    os.kill(process.pid, signal.SIGSTOP)
    for more in ([], ["--resume", "true"]):
        second = run_processes(SCRIPT, *cut, *more, folder=folder, processes=1)
        assert second.returncode == 1
        (line,) = second.stderr.splitlines()
        assert f"no other process uses, got cut, where process {process.pid} of " in line
    os.kill(process.pid, signal.SIGCONT)
    os.kill(process.pid, signal.SIGINT)
    process.join()
    assert process.exitcode == 130
    said = (folder / "said.stderr").read_text().splitlines()[-1]
    assert said == "stopped by Ctrl-C: the same command with --resume true goes on from the last checkpoint"
    run_here(*train("--out", "cut", "--checkpoint_every", 7, "--resume", "true"))
    check_same_run(folder)
