"""`verify` on a cluster of Ray: one of this machine alone."""

import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from gpt.errors import UsageError
from gpt.lock import claim
from gpt.train import train
from gpt.verification.engine import RunsError, beside, run_side_by_side
from gpt.verification.plan import Run, read_plan
from gpt.verification.ray_tasks import on_ray
from gpt.verification.verify import verify

from tests.recipes.test_gpt_cli import curve
from tests.recipes.verified import tiny_plan, write_files


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_a_cluster_makes_the_runs_of_this_machine(folder: Path) -> None:
    verify("base.yaml", ["treated.yaml"], (42,), (8,), Path("results"), root=folder, workers=2, ray="local")
    for run in read_plan(folder / "results"):
        alone = folder / "alone" / run.arm
        train(replace(run.config, out=alone))
        assert curve(folder / run.config.out) == curve(alone)


@pytest.mark.slow
def test_a_run_that_fails_is_named_and_one_that_is_being_made_is_waited_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [*tiny_plan(folder, seeds=(42,), lengths=(8,))]
    treated = runs[1]
    (folder / "results").mkdir()

    def done(run: Run) -> bool:
        return (run.config.out / "result").exists()

    def command(run: Run) -> list[str]:
        make = f"import pathlib; p = pathlib.Path({str(run.config.out)!r}); p.mkdir(); (p / 'result').touch()"
        return ["python", "-c", make if run.arm == "treated" else "raise SystemExit('it broke')"]

    claimed = claim(beside(treated, ".lock"))
    assert claimed is not None
    with on_ray("local", workers=2, finished=done, command=command) as start:
        process = start([treated], 0)[1]
        time.sleep(2)
        assert process.poll() is None
        claimed.close()
        with pytest.raises(RunsError, match=r"none of 1 \(base, 8 steps, seed 42: it broke"):
            run_side_by_side(runs, workers=2, finished=done, start=start)
        assert process.wait() == 0


def test_without_ray_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"not installed; pip install 'dsptorch\[ray\]'"):
        verify("base.yaml", ["treated.yaml"], (42,), (8,), Path("results"), root=folder, ray="local")


@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="ray: expected the address of a Ray cluster, got 'auto'"):
        verify("base.yaml", ["treated.yaml"], (42,), (8,), Path("results"), root=folder, ray="auto")
