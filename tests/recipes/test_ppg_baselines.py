"""Baselines on signals whose forecasts are known, and errors of forecasts that are."""

import math
from functools import partial

import pytest
import torch
from ppg.baselines import autoregression, baselines, beat, fit_autoregression, last_value
from ppg.data import Recording, split
from ppg.evaluate import errors, rmse
from torch import Tensor

HORIZON = 25


@pytest.fixture
def sine() -> Recording:
    """50 samples a period, amplitude 100."""
    return split(500 + 100 * torch.sin(2 * math.pi * torch.arange(3000) / 50))


def knows(recording: Recording, ahead: int, signal: Tensor) -> Tensor:
    """A forecast that has read the recording, `ahead` samples on from each moment of a piece of it."""
    pieces = recording.signal.unfold(0, len(signal), 1)
    at = int((pieces == signal).all(1).nonzero()[0])
    return torch.nn.functional.pad(recording.signal, (0, ahead))[at + ahead : at + ahead + len(signal)]


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_errors_compare_a_forecast_with_its_own_moment(part: str) -> None:
    recording = split(100 * torch.randn(3000, generator=torch.Generator().manual_seed(0)))
    assert errors(partial(knows, recording, HORIZON), recording, part, horizon=HORIZON) == (0, 0)
    for wrong in (HORIZON - 1, HORIZON + 1):  # off by one
        found = errors(partial(knows, recording, wrong), recording, part, horizon=HORIZON)
        assert found.rmse == pytest.approx(100 * math.sqrt(2), rel=0.1)


def test_errors_are_in_counts(sine: Recording) -> None:
    found = errors(torch.zeros_like, sine, "test", horizon=HORIZON)
    assert found.rmse == pytest.approx(100 / math.sqrt(2), rel=0.01)
    assert found.mae == pytest.approx(200 / math.pi, rel=0.01)


def test_an_autoregression_finds_the_recurrence_of_a_sine(sine: Recording) -> None:
    taps = fit_autoregression(sine.signal[: sine.train_end], order=2, horizon=HORIZON)
    assert rmse(partial(autoregression, taps=taps), sine, "test", horizon=HORIZON) < 1e-2
    assert (
        rmse(partial(autoregression, taps=taps), sine, "test", horizon=HORIZON + 1) > 1
    )  # of another moment


def test_an_autoregression_is_causal(sine: Recording) -> None:
    taps = torch.randn(9, dtype=torch.float64)
    later = sine.signal.clone()
    later[100:] = 7
    one, other = autoregression(sine.signal, taps=taps), autoregression(later, taps=taps)
    assert torch.equal(one[:100], other[:100])
    assert not torch.equal(one[100:], other[100:])


def test_the_beat_is_the_period_beyond_the_horizon(sine: Recording) -> None:
    assert beat(sine, horizon=HORIZON) == 50
    assert beat(sine, horizon=60) == 100


def test_last_value() -> None:
    assert last_value(torch.tensor([1.0, 2.0, 3.0]), lag=0).tolist() == [1, 2, 3]
    assert last_value(torch.tensor([1.0, 2.0, 3.0]), lag=2).tolist() == [0, 0, 1]


def test_all_baselines(sine: Recording) -> None:
    found = {
        label: rmse(forecast, sine, "test", horizon=HORIZON)
        for label, (forecast, _) in baselines(sine, horizon=HORIZON).items()
    }
    mean, now, before, linear = found.values()
    assert list(found)[2] == "the value one beat (50 samples) before"
    assert now == pytest.approx(2 * mean, rel=0.01)  # half a period ago: of the other sign
    assert before < 0.01
    assert linear < 0.01
