from pathlib import Path
from typing import Any

import pytest
from gpt.adaptive import AdaptiveDSP
from gpt.config import CONFIGS, TrainConfig, load_config
from gpt.errors import UsageError
from gpt.model import GPTConfig


def test_files_lie_on_each_other_and_options_on_top() -> None:
    config = load_config([CONFIGS / "learned.yaml", CONFIGS / "seed_blocks.yaml"], ["--model.d_model=64"])
    assert (config.model.positions, config.model.d_model, config.lr) == ("learned", 64, 1e-3)
    assert config.arm.multirate == {}
    assert config.arm.fir is None


@pytest.mark.parametrize(
    "treatment",
    [
        "seed_blocks",
        "fir",
        "token_shift",
        "at_rate",
        "undecimated",
        "ema",
        "ema_bank",
        "canon",
        "haar",
        "dilated",
        "bigram",
    ],
)
@pytest.mark.parametrize("baseline", ["learned", "rope"])
def test_a_treatment_changes_the_arm_alone(baseline: str, treatment: str) -> None:
    plain = load_config([CONFIGS / f"{baseline}.yaml"])
    treated = load_config([CONFIGS / f"{baseline}.yaml", CONFIGS / f"{treatment}.yaml"])
    assert treated.arm != plain.arm
    assert {**vars(treated), "arm": plain.arm} == vars(plain)


@pytest.mark.parametrize(
    "text", ["lrr: 1", "model: {d_modle: 8}", "arm: {tokenshift: true}", "modle: {d_model: 8}"]
)
def test_an_unknown_key_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=r"lrr|d_modle|tokenshift|modle"):
        load_config([file])


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(UsageError, match="--learning_rate"):
        load_config([], ["--learning_rate=1"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"accumulate": 3}, "divisor"),
        ({"model": GPTConfig(vocab_size=255)}, "vocab_size: expected 256 bytes or more, got 255"),
        ({"strategy": "fsdp", "adaptive_dsp": AdaptiveDSP(enabled=True)}, "expected auto or ddp"),
    ],
)
def test_a_run_that_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        TrainConfig(**changes)
