"""`verify` on a cluster of Ray: one of this machine alone."""

import sys
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from gpt.errors import UsageError
from gpt.lock import claim
from gpt.result import RESULT
from gpt.train import train
from gpt.verification.engine import RunsError, beside, train_command
from gpt.verification.plan import Run
from gpt.verification.ray_tasks import on_ray
from gpt.verification.verify import verify

from tests.recipes.test_gpt_cli import curve
from tests.recipes.verified import SEEDS, tiny_plan, write_files

BEGIN = "import os, sys; open('begun', 'w').close(); os.execv(sys.argv[1], sys.argv[1:])"
"""A program that leaves a file and becomes another one."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_a_cluster_makes_the_runs_of_this_machine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that somebody else is making is waited for, and those that fail are named.

    Before, there is no cluster; that is tested here, because "auto" would find one that a test beside this one starts.
    """
    with pytest.raises(UsageError, match="ray: expected the address of a Ray cluster, got 'auto'"):
        verify("base.yaml", ["treated.yaml"], SEEDS, (8,), Path("none"), root=folder, ray="auto")
    made, waited = tiny_plan(folder, seeds=SEEDS[:1], lengths=(8,))
    waited.config.out.parent.mkdir()
    claimed = claim(beside(waited, ".lock"))
    assert claimed is not None
    begun: list[bool] = []

    def release() -> None:
        while not (made.config.out / RESULT).exists():
            time.sleep(0.1)
        begun.append(Path("begun").exists())
        claimed.close()

    def command(run: Run) -> list[str]:
        if run.config.seed != SEEDS[0]:
            return ["python", "-c", "raise SystemExit('it broke')"]
        if run.arm == made.arm:
            return train_command(run)
        threading.Thread(target=release, daemon=True).start()
        return ["python", "-c", BEGIN, *train_command(run)]

    monkeypatch.setattr("gpt.verification.verify.on_ray", partial(on_ray, command=command))
    with pytest.raises(RunsError, match=r"none of 2 \((base|treated), 8 steps, seed 123: it broke"):
        verify(
            "base.yaml", ["treated.yaml"], SEEDS, (8,), Path("results"), root=folder, workers=2, ray="local"
        )
    assert begun == [False]
    assert Path("begun").exists()
    for run in (made, waited):
        alone = folder / "alone" / run.arm
        train(replace(run.config, out=alone))
        assert curve(run.config.out) == curve(alone)


def test_without_ray_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"not installed; pip install 'dsptorch\[ray\]'"):
        verify("base.yaml", ["treated.yaml"], (42,), (8,), Path("results"), root=folder, ray="local")
