"""Training reads the training part alone, is the same again, learns, and stops at a leak."""

import math
from dataclasses import replace

import ppg.train
import pytest
import torch
from gpt.errors import LeakError, UsageError
from ppg.arms import ARMS, Arm
from ppg.data import Recording, split
from ppg.evaluate import at_once, rmse
from ppg.train import TrainConfig, check_length, learning_rate, sample_windows, train
from torch import Tensor, nn

TINY = TrainConfig(steps=4, batch_size=2)


@pytest.fixture
def recording() -> Recording:
    """A sine with noise."""
    noise = torch.randn(3000, generator=torch.Generator().manual_seed(0))
    return split(500 + 100 * torch.sin(2 * math.pi * torch.arange(3000) / 60) + 5 * noise)


def weights(recording: Recording, *, arm: str = "plain", seed: int = 0) -> Tensor:
    model = train(ARMS[arm], recording, TINY, seed=seed)
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def altered(recording: Recording, start: int) -> Recording:
    signal = recording.signal.clone()
    signal[start:] = -signal[start:]
    return recording._replace(signal=signal)


def test_validation_and_test_are_not_trained_on(recording: Recording) -> None:
    learned = weights(recording)
    assert torch.equal(learned, weights(altered(recording, recording.train_end)))
    assert not torch.equal(learned, weights(altered(recording, 300)))  # the training part is


def test_the_last_window_ends_with_the_training_part() -> None:
    """Of a recording with room for one window, which is told by its numbers."""
    signal = torch.arange(1000.0)
    recording = Recording(signal, 0.0, 1.0, 640 + 25, 800)
    x, target = sample_windows(recording, TINY, torch.Generator())
    assert torch.equal(x, torch.arange(640.0).expand(2, 640).unsqueeze(-1))
    assert torch.equal(target, torch.arange(256.0 + 25, 665).expand(2, 384).unsqueeze(-1))
    with pytest.raises(UsageError, match="at least 665 samples to train on, got 664"):
        check_length(recording._replace(train_end=664), TINY)


@pytest.mark.slow
def test_a_run_is_a_function_of_its_seed(recording: Recording) -> None:
    learned = weights(recording, arm="lfo")
    assert torch.equal(learned, weights(recording, arm="lfo"))
    assert not torch.equal(learned, weights(recording, arm="lfo", seed=1))


def test_it_learns(recording: Recording) -> None:
    model = train(ARMS["plain"], recording, replace(TINY, steps=60), seed=0)
    assert not model.training
    found = rmse(lambda x: at_once(model, x), recording, "test", horizon=TINY.horizon)
    assert found < 15  # of a standard deviation of 71; 5 cannot be known


class Peek(nn.Module):
    """A leak: it adds the next sample, times a gain that training opens."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.gain * torch.cat((x[:, 1:], torch.zeros_like(x[:, :1])), dim=1)


def test_a_leak_stops_the_run_before_it_begins(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ppg.train, "sample_windows", lambda *_: pytest.fail("was trained"))
    with pytest.raises(LeakError, match="not causal"):
        train(Arm("leak", lambda _: Peek()), recording, TINY, seed=0)


def test_a_loss_that_is_not_finite_stops_the_run(recording: Recording) -> None:
    broken = recording._replace(signal=recording.signal.clone())
    broken.signal[500:] = float("inf")
    with pytest.raises(FloatingPointError, match=r"finite loss, got .* in step 1; lower --lr"):
        train(ARMS["plain"], broken, TINY, seed=0)


def test_the_rate_rises_then_falls_to_nothing() -> None:
    config = TrainConfig(steps=100, lr=1.0)
    rates = [learning_rate(step, config) for step in range(100)]
    assert rates.index(max(rates)) in (9, 10)
    assert max(rates) == 1.0
    assert rates[-1] < 1e-3
    assert learning_rate(0, replace(config, steps=1)) == 1.0
