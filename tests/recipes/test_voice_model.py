"""Arms of the voice recipe: causal, streaming, and able to learn; leaks and streams that are apart are stopped."""

import math
from dataclasses import replace

import pytest
import torch
from gpt.errors import LeakError, UsageError
from torch import Tensor, nn
from voice.arms import ARMS, Arm, build
from voice.codes import LEVELS, encode
from voice.evaluate import CONTEXT, ROW, StreamError, bits_of, counted, stream_gate
from voice.generate import go_on
from voice.lpc import Delays
from voice.mixture import bits, draw
from voice.model import block
from voice.train import Run, TrainConfig, train

from dsptorch.testing import assert_causal

CONFIG = TrainConfig(steps=24, batch_size=4, window=320, skipped=64)


def buzz(time: int, seed: int = 0) -> Tensor:
    """Codes of a pulse train through a resonance, and noise: loud and soft in turn."""
    generator = torch.Generator().manual_seed(seed)
    noise = 0.003 * torch.randn(time, generator=generator)
    x = [0.0, 0.0]
    for t in range(time):
        x.append(1.7 * x[-1] - 0.9 * x[-2] + noise[t].item() + 0.1 * (t % 67 == 0))
    level = 1 + torch.sin(2 * math.pi * torch.arange(time) / 5000)
    return encode((torch.tensor(x[2:]) * level * 2**14).clamp(-(2**15), 2**15 - 1).short())


@pytest.fixture(scope="module")
def codes() -> Tensor:
    return buzz(20_000)


@pytest.mark.parametrize("arm", ARMS)
def test_arms_are_causal_and_stream(arm: str, codes: Tensor) -> None:
    torch.manual_seed(0)
    model = build(ARMS[arm]).eval()
    assert_causal(model, codes[None, 3000:3048].long(), vocab_size=LEVELS)
    assert stream_gate(model, codes[3000:3100]) < 1e-4


class Ahead(Delays):
    """A layer that sees the next sample."""

    def process(self, x, memory, timeline):
        return super().process(x.roll(-1, 1), memory, timeline)


class Forgetful(Delays):
    """A layer whose stream begins anew with every chunk."""

    def process(self, x, memory, timeline):
        return super().process(x, None, timeline)


def arm_of(layer: type[Delays]) -> Arm:
    return Arm("planted", 8, lambda width: [block(layer(width, (0, 3)))])


def test_a_leak_is_stopped_before_training(codes: Tensor) -> None:
    with pytest.raises(LeakError, match="looks ahead"):
        train(arm_of(Ahead), codes, CONFIG, seed=0)


def test_a_leak_that_training_opens_is_stopped(codes: Tensor) -> None:
    class Opened(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.share = build(arm_of(Delays)), nn.Parameter(torch.zeros(()))

        def forward(self, codes: Tensor) -> Tensor:
            y: Tensor = self.inner(codes)
            return y + self.share * y.roll(-1, 1)

    run = Run(Opened(), codes, CONFIG, seed=0)  # type: ignore[arg-type]
    run.gate()
    run.step()
    with pytest.raises(LeakError, match="after step 1"):
        run.gate()


def test_a_stream_that_is_apart_is_stopped(codes: Tensor) -> None:
    torch.manual_seed(0)
    with pytest.raises(StreamError, match="the same bits in a stream"):
        stream_gate(build(arm_of(Forgetful)).eval(), codes[:100])


def test_training_makes_fewer_bits_of_a_signal_and_none_of_noise(codes: Tensor) -> None:
    model, _ = train(ARMS["shift"], codes, CONFIG, seed=0)
    other = buzz(CONTEXT + ROW, seed=1)
    assert bits_of(model, other) < bits_of(build(ARMS["shift"]).eval(), other) - 0.05
    noise = torch.randint(LEVELS, (CONTEXT + ROW,), generator=torch.Generator().manual_seed(0)).to(
        torch.uint8
    )
    assert bits_of(model, noise) > 8  # no code of noise is shorter


def test_a_seed_gives_one_run(codes: Tensor) -> None:
    short = replace(CONFIG, steps=2)
    one, other = (train(arm_of(Delays), codes, short, seed=3)[1] for _ in range(2))
    assert one == other


def test_every_sample_counts_once_and_with_all_of_its_past(codes: Tensor) -> None:
    part = codes[: CONTEXT + 2 * ROW - 1000]
    assert torch.equal(counted(part), part[CONTEXT : CONTEXT + ROW])
    torch.manual_seed(0)
    model = build(ARMS["dilated"]).eval()
    with torch.no_grad():
        literal = bits(model(part[None, :-1].long()), part[None, 1:].long())[
            0, CONTEXT - 1 : CONTEXT - 1 + ROW
        ].mean()
    assert bits_of(model, part) == pytest.approx(literal.item(), abs=1e-5)
    with pytest.raises(UsageError, match="expected a part of at least"):
        bits_of(model, part[:3000])


def test_what_is_made_goes_on_from_all_that_was_heard(codes: Tensor) -> None:
    torch.manual_seed(0)
    model = build(ARMS["at_rate"]).eval()
    made = go_on(model, codes[:50], 8, temperature=0.0)
    again: Tensor = codes[:50]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _ in range(8):  # the whole past, every time
            again = torch.cat(
                [again, draw(model(again[None].long())[:, -1:], generator, 0.0)[0].to(torch.uint8)]
            )
    assert made.tolist() == again[50:].tolist()
    assert go_on(model, codes[:50], 0).shape == (0,)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"window": 64}, "more than the 64 samples skipped"),
        ({"steps": 0}, "steps: expected"),
        ({"lr": 0.0}, "lr"),
    ],
)
def test_configurations_are_refused(changes: dict[str, float], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        TrainConfig(**{"skipped": 64, "window": 320} | changes)  # type: ignore[arg-type]


def test_too_little_to_train_on_is_refused(codes: Tensor) -> None:
    with pytest.raises(UsageError, match="expected more than 320 samples"):
        train(ARMS["shift"], codes[:320], CONFIG, seed=0)
