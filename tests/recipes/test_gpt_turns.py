"""Times in turns."""

import time

import pytest
from gpt import turns


def test_calls_are_made_in_turn_and_the_first_rounds_do_not_count(monkeypatch):
    made, clock = [], iter([0, 100, 0, 1] * turns.WARM + [0, 5, 0, 2, 0, 7, 0, 1, 0, 6, 0, 9])
    monkeypatch.setattr(turns.time, "process_time", lambda: next(clock) / 1e3)
    found = turns.cpu_ms({"a": lambda: made.append("a"), "b": lambda: made.append("b")}, rounds=3)
    assert made == ["a", "b"] * (turns.WARM + 3)
    assert found == pytest.approx({"a": 6, "b": 2})


def test_waiting_costs_nothing():
    assert turns.cpu_ms({"sleep": lambda: time.sleep(0.02)}, rounds=1)["sleep"] < 10
