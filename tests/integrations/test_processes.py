"""Two processes under DistributedDataParallel move the hyperparameters as one with all their data does."""

import json

import pytest

from tests.forked import run_processes

SCRIPT = "tests.integrations.processes"


def run(folder, trainer, processes, *rest):
    """The history of each process."""
    folder.mkdir()
    done = run_processes(SCRIPT, trainer, folder, *rest, folder=folder, processes=processes)
    if done.returncode:  # not an AssertionError, which the planted bug must raise
        raise RuntimeError(done.stderr[-3000:])
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(processes)]


def check_processes(folder, trainer, *rest):
    first, second = run(folder / "two", trainer, 2, *rest)
    assert [record["value"] for record in first] == [record["value"] for record in second]
    (alone,) = run(folder / "one", trainer, 1)
    assert len(alone) == 4
    for one, expected in zip(first, alone, strict=True):
        assert one["value"] == pytest.approx(expected["value"], rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("trainer", ["huggingface", "lightning"])
def test_two_processes_are_as_one(tmp_path, trainer):
    check_processes(tmp_path, trainer)


@pytest.mark.slow
def test_controllers_that_do_not_agree_are_seen(tmp_path):
    with pytest.raises(AssertionError):
        check_processes(tmp_path, "lightning", "alone")
