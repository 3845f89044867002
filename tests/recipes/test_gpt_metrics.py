"""The log of a run: cut back at a resume, and read past what a kill or a power failure left at its end."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from gpt.config import TrainConfig
from gpt.data import Splits
from gpt.errors import CheckpointError
from gpt.metrics import LOG, Metrics, read_metrics
from gpt.result import read_result
from gpt.train import train

from tests.recipes.test_gpt_train import curve, killed

Tiny = Callable[..., TrainConfig]
ENDS = {
    "a cut line": b'{"step": 4, "train_lo',
    "zeros": bytes(500),
    "lines of zeros": bytes(100) + b"\n" + bytes(100) + b"\n",
    "bytes of another file": b"\xff\xfe\x00[1]\n",
    "another record": b"[1, 2]\n",
    "no step": b'{"step": "4"}\n',
}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    with Metrics(tmp_path, 0) as metrics:
        for step in (1, 2, 3):
            metrics.write(step, train_loss=1.0)
    return tmp_path / LOG


def steps(log: Path, **until: int) -> list[int]:
    return [record["step"] for record in read_metrics(log, **until)]


def test_the_log_is_cut_back(log: Path) -> None:
    with Metrics(log.parent, 2):
        pass
    assert steps(log) == [1, 2]


@pytest.mark.parametrize("end", ENDS)
def test_a_damaged_end_is_left_out(log: Path, end: str) -> None:
    with log.open("ab") as file:
        file.write(ENDS[end])
    assert steps(log) == [1, 2, 3]


@pytest.mark.parametrize("line", [bytes(20), b"[1, 2]", b"{", b'{"step": null}'])
def test_damage_before_records_is_named_if_they_are_asked_for(log: Path, line: bytes) -> None:
    first, _, third = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(first + line + b"\n" + third)
    with pytest.raises(CheckpointError, match=r"expected a record in line 2 of .*metrics\.jsonl, got b"):
        read_metrics(log)
    assert steps(log, until=2) == [1]


def test_a_run_goes_on_after_a_power_failure(
    tiny: Tiny, splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log is on the disk before its checkpoint is; what is written later may be zeros."""
    whole, cut = tiny("whole"), tiny("cut")
    train(whole, splits)
    killed(cut, splits, 7, monkeypatch)
    lines = (cut.out / LOG).read_bytes().splitlines(keepends=True)
    kept = b"".join(line for line in lines if json.loads(line)["step"] <= 4)
    (cut.out / LOG).write_bytes(kept + bytes(len(b"".join(lines)) - len(kept)) + lines[-1])
    train(replace(cut, resume=True), splits)
    assert curve(cut) == curve(whole)


def test_a_finished_run_without_its_log_is_not_summed_up(tiny: Tiny, splits: Splits) -> None:
    train(tiny(), splits)
    (tiny().out / LOG).unlink()
    with pytest.raises(CheckpointError, match=r"a validation loss of step 12, in .*metrics\.jsonl, got none"):
        train(tiny(resume=True), splits)


@pytest.mark.parametrize("text", ["", "\0\0", "{}", "[1]", '{"config": 3}'])
def test_a_damaged_result_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"expected the result of a run in .*delete the file"):
        read_result(tmp_path / "result.json")
