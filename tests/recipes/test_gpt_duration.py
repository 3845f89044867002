"""How long a run will take is said before it begins."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gpt.duration
import gpt.quickstart
import pytest
from gpt.config import TrainConfig
from gpt.data import Splits
from gpt.duration import in_words, seconds_of, seconds_to_train
from gpt.quickstart import quickstart
from gpt.train import train

Tiny = Callable[..., TrainConfig]


def test_a_run_is_its_updates_validations_test_and_gates(
    tiny: Tiny, splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpt.duration, "one_step", lambda _: "step")
    monkeypatch.setattr(gpt.duration, "_forward", lambda _: "pass")
    monkeypatch.setattr(gpt.duration, "seconds_of", {"step": 100.0, "pass": 1.0}.__getitem__)
    # 12 steps; 3 validations of 200 bytes and a test of 200 in batches of 4 x 16; gates before, and at 4, 8 and 12
    assert seconds_to_train(tiny(), splits) == 12 * 100 + 3 * 4 + 4 + 4 * 4
    assert seconds_to_train(tiny(steps=13), splits) == 13 * 100 + 4 * 4 + 4 + 5 * 4


def test_the_first_call_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, costs = [0.0], iter([50.0, 2.0, 3.0, 9.0])

    def call() -> None:
        clock[0] += next(costs)

    monkeypatch.setattr(gpt.duration.time, "perf_counter", lambda: clock[0])
    assert seconds_of(call) == 3


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "about 1 s,"), (42.4, "about 42 s,"), (90, "about 2 minutes,"), (400, "about 7 minutes")],
)
def test_the_time_in_words(seconds: float, words: str) -> None:
    assert words in in_words(seconds)


def test_a_run_takes_about_as_long_as_is_said(tiny: Tiny, splits: Splits) -> None:
    config = tiny(steps=100, eval_every=100, checkpoint_every=100)
    said = seconds_to_train(config, splits)
    began = time.perf_counter()
    train(config, splits)
    took = time.perf_counter() - began
    assert (
        took / 8 < said < 3 * took
    )  # others may take the cores in either; the bar and the log take their time


def test_the_quick_start_says_the_time_of_all_arms_before_the_first(
    tmp_path: Path, splits: Splits, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said_before: list[str] = []

    class BegunError(Exception):
        pass

    def begin(config: TrainConfig, given: Splits) -> Any:
        said_before.append(capsys.readouterr().out)
        raise BegunError

    long = splits._replace(test=splits.test.repeat(1000))
    monkeypatch.setattr(gpt.quickstart, "quickstart_splits", lambda _: long)
    monkeypatch.setattr(
        gpt.quickstart, "seconds_to_train", lambda config, given: 60.0 + len(given.test) // 65_536
    )
    monkeypatch.setattr(gpt.quickstart, "train", begin)
    with pytest.raises(BegunError):
        quickstart(tmp_path / "quick", steps=2)
    (said,) = said_before
    assert re.search(r"It will take about 3 minutes, if", said)  # 3 x 61 s: the test is cut too
