import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from gpt.adaptive import AdaptiveDSP, RandomSign, find_hyperparams, make_controller, optimizer_groups
from gpt.arms import Arm, build
from gpt.checkpoint import read_checkpoint
from gpt.config import CONFIGS, TrainConfig, load_config
from gpt.data import Splits
from gpt.errors import CheckpointError, UsageError
from gpt.evaluate import next_byte_loss
from gpt.model import GPTConfig
from gpt.train import train

from tests.recipes.test_gpt_train import curve, killed, weights

Tiny = Callable[..., TrainConfig]
BLOCKS = Arm(multirate={}, lfo_routing={}, bottleneck={})
LEARNABLE = AdaptiveDSP().learnable_params
OFTEN = AdaptiveDSP(enabled=True, meta_update_every=2, meta_lr=0.1)


def raws(config: TrainConfig) -> dict[str, torch.Tensor]:
    hyperparam = re.compile(
        r"(mix_ratio|detail_strength|residual_mix|gate_temperature|bottleneck_ratio)\.raw$"
    )
    return {name: value for name, value in weights(config).items() if hyperparam.search(name)}


def test_the_section_works_as_the_study_writes_it(tiny: Tiny, splits: Splits) -> None:
    text = (CONFIGS / "adaptive_literal.yaml").read_text()
    assert "meta_lr: 1e-4" in text
    assert "bottleneck_channel: [bottleneck_ratio, residual_mix]" in text
    section = load_config([CONFIGS / "adaptive_literal.yaml"]).adaptive_dsp
    assert section == AdaptiveDSP(True, 1e-4, 100, "smoothed_loss", 0.9, "direct", LEARNABLE)
    config = tiny(arm=BLOCKS, adaptive_dsp=replace(section, meta_update_every=4))
    with pytest.warns(UserWarning, match=r"cannot move these by 5 %.*mix_ratio"):
        train(config, splits)
    assert [r["step"] for r in curve(config) if "meta_loss" in r] == [4, 8, 12]


def test_hyperparameters_are_those_of_the_blocks_that_are_there(shape: GPTConfig) -> None:
    names = list(find_hyperparams(build(shape, BLOCKS), LEARNABLE))
    assert len(names) == 6 * shape.n_layer
    assert names[:2] == ["blocks.0.dsp_before.mix_ratio", "blocks.0.dsp_before.detail_strength"]
    assert len(find_hyperparams(build(shape, Arm(multirate={})), LEARNABLE)) == 2 * shape.n_layer
    assert not find_hyperparams(build(shape, Arm()), LEARNABLE)


@pytest.mark.parametrize(
    ("arm", "params", "words"),
    [
        (BLOCKS, {"multirat": ["mix_ratio"]}, "multirate, lfo_routing, bottleneck_channel, got 'multirat'"),
        (
            BLOCKS,
            {"multirate": ["mix"]},
            r"multirate: expected learned arguments of it, got 'mix', which is none",
        ),
        (Arm(multirate={"mix_ratio": 0.4}), {"multirate": ["mix_ratio"]}, "which is a fixed number"),
    ],
)
def test_what_is_no_hyperparameter_is_named(shape: GPTConfig, arm: Arm, params: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        find_hyperparams(build(shape, arm), params)


def test_a_controller_without_hyperparameters_is_refused(tiny: Tiny, splits: Splits) -> None:
    with pytest.raises(UsageError, match="expected an arm with blocks"):
        train(tiny(adaptive_dsp=OFTEN), splits)


def test_an_unknown_estimator_is_refused() -> None:
    with pytest.raises(UsageError, match="'direct' or 'random_sign', got 'best'"):
        AdaptiveDSP(estimator="best")


@pytest.mark.slow
def test_a_controller_that_cannot_move_changes_no_number(tiny: Tiny, splits: Splits) -> None:
    fixed = tiny("fixed", arm=BLOCKS, hyperparam_lr=0.0)
    still = tiny("immobile_warning", arm=BLOCKS, adaptive_dsp=replace(OFTEN, meta_lr=0.0))
    moving = tiny("moving", arm=BLOCKS, adaptive_dsp=OFTEN)
    train(fixed, splits)
    with pytest.warns(UserWarning, match="cannot move"):
        train(still, splits)
    train(moving, splits)

    def losses(config: TrainConfig) -> list[dict[str, Any]]:
        return [record for record in curve(config) if "meta_loss" not in record]

    assert losses(fixed) == losses(still) != losses(moving)
    assert all(torch.equal(raws(still)[name], raw) for name, raw in raws(fixed).items())
    assert all(not torch.equal(raws(moving)[name], raw) for name, raw in raws(fixed).items())
    assert (moving.out / "hyperparams.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_killed_run_continues_bit_for_bit(
    tiny: Tiny, splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut in the middle of the controller's interval; test_gpt_train.py cuts elsewhere."""
    whole, cut = (tiny(name, arm=BLOCKS, adaptive_dsp=OFTEN) for name in ("whole", "cut"))
    train(whole, splits)
    killed(cut, splits, 7, monkeypatch)
    train(replace(cut, resume=True), splits)
    assert curve(cut) == curve(whole)
    assert all(torch.equal(a, b) for a, b in zip(weights(cut).values(), weights(whole).values(), strict=True))
    saved = [read_checkpoint(config.out / "checkpoint.pt")["controller"] for config in (whole, cut)]
    assert saved[0]["progress"]["history"] == saved[1]["progress"]["history"]


def test_resume_refuses_another_batch_to_judge_the_hyperparameters_by(
    tiny: Tiny, splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(arm=BLOCKS, adaptive_dsp=OFTEN)
    killed(config, splits, 6, monkeypatch)
    with pytest.raises(CheckpointError, match="judge the hyperparameters by: 4 in the checkpoint, 2 now"):
        train(replace(config, accumulate=2, resume=True), splits)


def test_who_steps_the_hyperparameters(shape: GPTConfig) -> None:
    model = build(shape, BLOCKS)
    hyperparams = find_hyperparams(model, LEARNABLE)
    ids = {id(hyperparam.raw) for hyperparam in hyperparams.values()}

    def held(hyperparam_lr: float | None) -> list[tuple[float, int]]:
        groups = optimizer_groups(model, hyperparams, lr=1e-3, hyperparam_lr=hyperparam_lr, weight_decay=0.1)
        return [(g.get("lr_scale", 1.0), sum(id(p) in ids for p in g["params"])) for g in groups]

    assert held(None) == [(1.0, 0), (1.0, len(ids))]
    assert held(0.0) == [(1.0, 0), (1.0, 0)]
    assert held(1e-2) == [(1.0, 0), (1.0, 0), (pytest.approx(10.0), len(ids))]


def test_hyperparameters_of_a_mapping_learn_in_its_bounds(shape: GPTConfig) -> None:
    arm = Arm(multirate={"mix_ratio": {"init": 0.9, "low": 0.02, "high": 0.98}})
    first, second = (
        hyperparam
        for name, hyperparam in find_hyperparams(build(shape, arm), LEARNABLE).items()
        if name.endswith("mix_ratio")
    )
    assert (first.low, first.high) == (0.02, 0.98)
    assert first.value.item() == pytest.approx(0.9)
    assert first.raw is not second.raw


def test_random_signs_keep_the_sizes(shape: GPTConfig) -> None:
    torch.manual_seed(0)
    model = build(shape, BLOCKS)
    ids = torch.randint(256, (2, 17))
    found = {}
    for estimator in ("direct", "random_sign"):
        section = AdaptiveDSP(True, 0.0, 1, estimator=estimator)
        with pytest.warns(UserWarning, match="cannot move"):
            controller = make_controller(model, find_hyperparams(model, LEARNABLE), section, steps=1, seed=3)
        record = controller.step(0.0, val_loss=lambda m: next_byte_loss(m, ids[:, :-1], ids[:, 1:]))
        assert record is not None
        found[estimator] = torch.tensor(list(record["hypergradient"].values()))
    assert torch.equal(found["direct"].abs(), found["random_sign"].abs())
    same = (found["direct"] == found["random_sign"]).float().mean()
    assert 0.0 < same < 1.0
    assert RandomSign().allows_wrappers


@pytest.mark.slow
def test_the_test_text_is_not_read_before_the_end(
    tiny: Tiny, splits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = splits._replace(test=splits.test.flip(0))
    first, second = (tiny(name, arm=BLOCKS, adaptive_dsp=OFTEN) for name in ("first", "second"))
    results = train(first, splits), train(second, other)
    assert curve(first) == curve(second)
    assert results[0].test_loss != results[1].test_loss
