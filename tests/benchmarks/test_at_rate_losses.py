"""benchmarks/at_rate_losses.py trains its models on the same windows, and writes what the gallery draws."""

import importlib
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def check_result(found):
    """A loss for each seed at each step that is named, a time for each model, and losses that fall."""
    assert (
        set(found["validation nats"])
        == set(found["milliseconds"])
        == {"full rate", "middle at 1/2", "middle at 1/4"}
    )
    for seeds in found["validation nats"].values():
        assert len(seeds) == len(found["seeds"])
        assert all(len(losses) == len(found["steps"]) and losses[-1] < losses[0] for losses in seeds)
    first = {round(seeds[0][0], 1) for seeds in found["validation nats"].values()}
    assert len(first) == 1  # nearly the same model before training


def test_the_committed_result():
    found = json.loads((ROOT / "benchmarks" / "results" / "at_rate_losses.json").read_text())
    check_result(found)
    del found["validation nats"]["full rate"][0][-1]
    with pytest.raises(AssertionError):
        check_result(found)


@pytest.mark.slow
def test_writes_what_it_measured(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    (tmp_path / "text").write_bytes(b"the cat sat on the mat. " * 20_000)
    output = tmp_path / "result.json"
    arguments = [
        "--data",
        str(tmp_path / "text"),
        "--repeats",
        "2",
        "--every",
        "2",
        "--seeds",
        "0",
        "--threads",
        "1",
    ]
    monkeypatch.setattr(sys, "argv", ["at_rate_losses.py", *arguments, "--output", str(output)])
    importlib.import_module("at_rate_losses").main()
    check_result(json.loads(output.read_text()))
    assert "median ms a step" in capsys.readouterr().out
