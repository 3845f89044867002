from collections.abc import Callable

import pytest
import torch
from gpt.arms import Arm, build
from gpt.config import TrainConfig
from gpt.data import Splits
from gpt.errors import UsageError
from gpt.generate import generate, load_model, streaming_error
from gpt.model import GPT, GPTConfig, KVCache
from gpt.train import train

PROMPT = b"a prompt that is longer than the context"


def model(shape: GPTConfig, arm: Arm) -> GPT:
    torch.manual_seed(0)
    gpt = build(shape, arm)
    for name, weight in gpt.named_parameters():
        if name.endswith("weight") and weight.requires_grad:
            weight.data += 0.1 * torch.randn_like(weight)  # away from what is special at the start
    return gpt.eval()


def test_streamed_logits_equal_the_full_forward(shape: GPTConfig, arm: Arm) -> None:
    ids = torch.randint(0, 256, (3, shape.context))
    assert streaming_error(model(shape, arm), ids) < 1e-4


def test_a_broken_cache_is_noticed(shape: GPTConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KVCache, "append", lambda _self, k, v: (k, v))
    assert streaming_error(model(shape, Arm()), torch.randint(0, 256, (1, shape.context))) > 1e-3


def test_greedy_text_is_that_of_the_full_forward(shape: GPTConfig, arm: Arm) -> None:
    gpt, text = model(shape, arm), b"abcd"
    with torch.no_grad():
        while len(text) < shape.context:
            text += bytes([int(gpt(torch.tensor([list(text)]))[0, -1].argmax())])
    assert generate(gpt, b"abcd", shape.context - 4, temperature=0) == text[4:]


def test_text_goes_on_past_the_context_and_is_seeded(shape: GPTConfig, arm: Arm) -> None:
    gpt = model(shape, arm)
    emitted: list[bytes] = []
    text = generate(gpt, PROMPT, 50, seed=1, emit=emitted.append)
    assert len(text) == 50
    assert b"".join(emitted) == text == generate(gpt, PROMPT, 50, seed=1) != generate(gpt, PROMPT, 50, seed=2)


def test_a_checkpoint_writes(tiny: Callable[..., TrainConfig], splits: Splits, arm: Arm) -> None:
    config = tiny(arm=arm)
    train(config, splits)
    gpt = load_model(config.out / "checkpoint.pt")
    assert not gpt.training
    assert len(generate(gpt, b"x", 5)) == 5


def test_what_cannot_be_continued_is_refused(shape: GPTConfig) -> None:
    gpt = GPT(shape)
    with pytest.raises(UsageError, match="at least one byte"):
        generate(gpt, b"", 5)
    learned = GPT(GPTConfig(**{**vars(shape), "positions": "learned"}))
    assert len(generate(learned, b"abcd", shape.context - 3)) == shape.context - 3
    with pytest.raises(UsageError, match="16 learned positions"):
        generate(learned, b"abcd", shape.context)


def test_the_mode_survives(shape: GPTConfig) -> None:
    gpt = GPT(shape).train()

    def fail(_: bytes) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(gpt, b"x", 3, emit=fail)
    assert gpt.training
    assert torch.is_grad_enabled()


def test_top_k_of_one_is_greedy(shape: GPTConfig) -> None:
    gpt = model(shape, Arm())
    assert generate(gpt, b"abc", 8, top_k=1) == generate(gpt, b"abc", 8, temperature=0)


@pytest.mark.parametrize("temperature", [1e-300, 5e-324, 1e-3])
def test_a_temperature_near_0_is_greedy(shape: GPTConfig, temperature: float) -> None:
    gpt = model(shape, Arm())
    assert generate(gpt, b"abc", 8, temperature=temperature) == generate(gpt, b"abc", 8, temperature=0)


def test_a_vocabulary_wider_than_bytes_gives_bytes(shape: GPTConfig) -> None:
    gpt = model(GPTConfig(**{**vars(shape), "vocab_size": 4096}), Arm())
    for temperature in (0.0, 1e3):
        assert len(generate(gpt, b"abc", 50, temperature=temperature, top_k=4096)) == 50
