import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gpt.train
import pytest
import torch
from gpt.arms import Arm, build
from gpt.batches import IGNORED, sample_batch, sweep
from gpt.checkpoint import read_checkpoint
from gpt.config import TrainConfig
from gpt.data import Splits
from gpt.errors import CheckpointError, UsageError
from gpt.evaluate import evaluate
from gpt.figure import plot_curves
from gpt.metrics import read_metrics
from gpt.result import Result
from gpt.train import learning_rate, train
from lightning.fabric import Fabric

Tiny = Callable[..., TrainConfig]
TIMES = {"tokens_per_s", "step_ms"}


def curve(config: TrainConfig) -> list[dict[str, Any]]:
    """Return everything on record that is not a time."""
    records = read_metrics(config.out / "metrics.jsonl")
    return [{key: value for key, value in record.items() if key not in TIMES} for record in records]


def weights(config: TrainConfig) -> dict[str, torch.Tensor]:
    model: dict[str, torch.Tensor] = read_checkpoint(config.out / "checkpoint.pt")["model"]
    return model


def killed(config: TrainConfig, splits: Splits, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train until an update is interrupted."""
    update = gpt.train._update

    def interrupted(*args: Any, step: int, **kwargs: Any) -> float:
        if step == at:
            raise KeyboardInterrupt
        return update(*args, step=step, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(gpt.train, "_update", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(config, splits)


def test_a_run_learns_and_is_summed_up(tiny: Tiny, splits: Splits, arm: Arm) -> None:
    config = tiny(arm=arm, steps=40, model=replace(tiny().model, dropout=0.0))
    result = train(config, splits)
    assert result.val_loss < 3.2 < math.log(256)
    assert result.val_bpc == pytest.approx(result.val_loss / math.log(2))
    assert result.best_val_loss <= result.val_loss
    assert result == Result(**json.loads((config.out / "result.json").read_text()))
    assert [r["step"] for r in curve(config) if "val_loss" in r] == list(range(4, 41, 4))


def test_a_seed_decides_everything(tiny: Tiny, splits: Splits) -> None:
    first, again, other = tiny("first"), tiny("again"), tiny("other", seed=1)
    for config in (first, again, other):
        train(config, splits)
    assert curve(first) == curve(again) != curve(other)


def test_a_killed_run_continues_bit_for_bit(
    tiny: Tiny, splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every layer that learns; cut before the first checkpoint, and twice between two."""
    slow = {"blocks": [1], "factor": 4}
    arm = Arm(multirate={}, lfo_routing={}, bottleneck={}, fir={"kernel_size": 3}, at_rate=slow)
    whole = tiny("whole", arm=arm)
    train(whole, splits)
    for cuts in ((2,), (5, 10)):
        cut = tiny(f"cut at {cuts}", arm=arm)
        for at in cuts:
            killed(replace(cut, resume=at != cuts[0]), splits, at, monkeypatch)
        with (cut.out / "metrics.jsonl").open("a") as file:
            file.write('{"step": 9, "train_lo')  # the write that the kill cut off
        torch.manual_seed(at)  # nor does it matter what the process drew before
        train(replace(cut, resume=True), splits)
        assert curve(cut) == curve(whole)
        for name, weight in weights(whole).items():
            assert torch.equal(weights(cut)[name], weight), name


def test_randomness_that_is_not_of_the_step_breaks_resume(
    tiny: Tiny, splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpt.train, "seed_step", lambda **_: None)
    whole, cut = tiny("whole"), tiny("cut")
    train(whole, splits)
    killed(cut, splits, 6, monkeypatch)
    train(replace(cut, resume=True), splits)
    assert curve(cut) != curve(whole)


def test_moments_that_are_not_loaded_break_resume(
    tiny: Tiny, splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut = tiny("whole"), tiny("cut")
    train(whole, splits)
    killed(cut, splits, 6, monkeypatch)
    monkeypatch.setattr(
        gpt.train, "load_states", lambda model, _, saved: model.load_state_dict(saved["model"])
    )
    train(replace(cut, resume=True), splits)
    assert curve(cut) != curve(whole)


def test_a_run_goes_on_with_its_batch_in_more_parts(
    tiny: Tiny, splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = replace(tiny().model, dropout=0.0)
    whole, cut = tiny("whole", model=plain), tiny("cut", model=plain)
    killed(cut, splits, 6, monkeypatch)
    again = train(replace(cut, resume=True, accumulate=2), splits)
    assert again.val_loss == pytest.approx(train(whole, splits).val_loss, rel=1e-4)


def test_a_finished_run_resumes_to_its_result(tiny: Tiny, splits: Splits) -> None:
    config = tiny()
    assert train(config, splits) == replace(
        train(replace(config, resume=True), splits), config=gpt.train.plain(config)
    )


def test_a_run_is_not_overwritten(tiny: Tiny, splits: Splits) -> None:
    train(tiny(), splits)
    with pytest.raises(CheckpointError, match="--resume true"):
        train(tiny(), splits)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"lr": 1.0}, r"lr: 0\.01 in the checkpoint, 1\.0 now"),
        ({"arm": Arm(token_shift=True)}, r"arm\.token_shift: False in the checkpoint, True now"),
        ({"arm": Arm(multirate={"downsample": 4})}, r"arm\.multirate\.downsample"),
    ],
)
def test_resume_refuses_another_configuration(
    tiny: Tiny, splits: Splits, changes: dict[str, Any], key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(tiny(), splits, 6, monkeypatch)
    before = (tiny().out / "metrics.jsonl").read_bytes()
    with pytest.raises(CheckpointError, match=key):
        train(tiny(resume=True, **changes), splits)
    assert (tiny().out / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_resume_refuses_other_data(
    tiny: Tiny, splits: Splits, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One byte of any part, validated and tested on too, that is another one."""
    killed(tiny(), splits, 6, monkeypatch)
    text = getattr(splits, part).clone()
    text[len(text) // 2] ^= 1
    with pytest.raises(CheckpointError, match=r"data \(read\): .* in the checkpoint, .* now"):
        train(tiny(resume=True), splits._replace(**{part: text}))


def test_a_fingerprint_of_the_training_part_alone_is_caught(
    tiny: Tiny, splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpt.train, "fingerprint", lambda splits: str(splits.train.sum()))
    killed(tiny(), splits, 6, monkeypatch)
    train(tiny(resume=True), splits._replace(val=splits.val.flip(0)))  # and nothing is noticed


def test_accumulation_makes_the_same_updates(tiny: Tiny, splits: Splits) -> None:
    plain = replace(tiny().model, dropout=0.0)
    one, two = tiny("one", model=plain), tiny("two", model=plain, accumulate=2)
    assert train(one, splits).val_loss == pytest.approx(train(two, splits).val_loss, rel=1e-4)


def test_validation_counts_every_byte_once(tiny: Tiny, splits: Splits) -> None:
    config = tiny(model=replace(tiny().model, dropout=0.0))
    context, fabric = config.model.context, Fabric(accelerator="cpu", devices=1)
    model = build(config.model, config.arm).eval()
    total = 0.0
    with torch.no_grad():
        for i in range(0, len(splits.val) - 1, context):
            window = splits.val[i : i + context + 1].long()
            total += torch.nn.functional.cross_entropy(
                model(window[None, :-1])[0], window[1:], reduction="sum"
            )
    expected = float(total) / (len(splits.val) - 1)
    assert evaluate(fabric, model, splits.val, context=context, batch_size=4) == pytest.approx(
        expected, rel=1e-5
    )


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_ranks_share_the_sweep(splits: Splits, ranks: int) -> None:
    parts = [list(sweep(splits.val, context=16, batch_size=4, rank=r, ranks=ranks)) for r in range(ranks)]
    assert len({len(part) for part in parts}) == 1
    targets = torch.cat([targets.flatten() for step in zip(*parts, strict=True) for _, targets in step])
    assert torch.equal(targets[targets != IGNORED], splits.val[1:].long())


def test_batches_are_functions_of_seed_and_step(splits: Splits) -> None:
    def batch(**place: int) -> torch.Tensor:
        place = {"seed": 0, "step": 0, **place}
        ids, targets = sample_batch(splits.train, context=16, batch_size=4, **place)
        assert torch.equal(ids[:, 1:], targets[:, :-1])
        return ids

    assert torch.equal(batch(), batch())
    assert not any(torch.equal(batch(), batch(**{name: 1})) for name in ("seed", "step"))


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_ranks_share_the_batch(splits: Splits, ranks: int) -> None:
    shape = {"context": 16, "batch_size": 6, "seed": 3, "step": 5}
    whole, _ = sample_batch(splits.train, **shape)
    parts = [sample_batch(splits.train, rank=r, ranks=ranks, **shape)[0] for r in range(ranks)]
    assert {len(part) for part in parts} == {6 // ranks}
    assert torch.equal(torch.stack(parts, dim=1).flatten(0, 1), whole)


def test_the_last_window_is_drawn(splits: Splits) -> None:
    ids, targets = sample_batch(splits.train[:17], context=16, batch_size=2, seed=0, step=0)
    assert torch.equal(ids[0], splits.train[:16].long())
    assert targets[0, -1] == splits.train[16]


def test_learning_rate_warms_up_and_falls() -> None:
    config = TrainConfig(steps=100, warmup=10, lr=1.0, final_lr=0.1)
    rates = [learning_rate(step, config) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0.1 < rates[-1] < 0.101


def test_a_loss_that_is_not_finite_stops_the_run(
    tiny: Tiny, splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = gpt.train.next_byte_loss
    monkeypatch.setattr(gpt.train, "next_byte_loss", lambda *a, **k: loss(*a, **k) * math.inf)
    with pytest.raises(FloatingPointError, match="step 1"):
        train(tiny(), splits)


def test_text_shorter_than_a_window_is_refused(tiny: Tiny, splits: Splits) -> None:
    with pytest.raises(UsageError, match=r"context=16 bytes, got .* 9 to validate"):
        train(tiny(), splits._replace(val=splits.val[:9]))


def test_the_figure_is_drawn(tiny: Tiny, splits: Splits, tmp_path: Path) -> None:
    train(tiny(), splits)
    file = plot_curves({"one": tiny().out, "the same": tiny().out}, tmp_path / "curves.png", title="cycles")
    assert file.read_bytes().startswith(b"\x89PNG")
