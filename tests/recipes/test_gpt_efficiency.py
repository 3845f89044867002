import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from gpt.arms import Arm
from gpt.config import TrainConfig
from gpt.errors import UsageError
from gpt.model import GPTConfig
from gpt.verification.curve import read_curve
from gpt.verification.efficiency import efficiency, measure
from gpt.verification.flops import flops_per_step
from gpt.verification.paired import read_results
from gpt.verification.plan import read_plan

# Losses after 2, 4, 6 and 8 steps; 100 ms a step for the first half of the run, then 300.
BASE = {42: (4.0, 3.0, 2.0, 1.0), 123: (4.0, 3.0, 2.5, 1.5)}
TREATED = {42: (3.0, 2.0, 1.0, 0.5), 123: (3.0, 2.5, 1.5, 1.4)}


@pytest.fixture
def written(results: Path) -> Path:
    """Runs of 8 steps whose logs are written by hand."""
    for arm, seeds in {"base": BASE, "treated": TREATED}.items():
        for seed, losses in seeds.items():
            write(results / f"{arm}-steps8-seed{seed}", losses)
    plan = results / "plan.json"
    plan.write_text(json.dumps({**json.loads(plan.read_text()), "lengths": [8]}))
    return results


def write(folder: Path, losses: Sequence[float]) -> None:
    records = []
    for i, loss in enumerate(losses):
        step = 2 * (i + 1)
        records.append({"step": step, "train_loss": loss, "step_ms": 100.0 if step <= 4 else 300.0})
        records.append({"step": step, "val_loss": loss})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def test_a_case_worked_by_hand(written: Path) -> None:
    summary = measure(read_plan(written), "val", (2.0,), auto_targets=False)
    (target,) = summary["lengths"][0]["targets"]
    base, treated = target["arms"]
    assert base["steps"]["values"] == (6.0, 8.0)
    assert treated["steps"]["values"] == (4.0, 6.0)
    assert base["tokens"]["values"] == (6 * 4 * 16, 8 * 4 * 16)
    assert base["seconds"]["values"] == pytest.approx((0.4 + 0.6, 0.4 + 1.2))
    assert treated["seconds"]["values"] == pytest.approx((0.4, 1.0))
    assert treated["steps_saved_percent"]["values"] == pytest.approx((100 / 3, 25.0))
    assert treated["seconds_saved_percent"]["values"] == pytest.approx((60.0, 37.5))
    flops = summary["flops_per_step"]
    assert treated["flops"]["values"] == (4 * flops["treated"], 6 * flops["treated"])


def test_a_target_that_is_never_reached_is_censored(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By no seed, or by one of two: no mean, no saving, and nothing in their place."""
    summary = measure(read_plan(written), "val", (1.2, 0.1), auto_targets=False)
    some, none = summary["lengths"][0]["targets"]
    assert [(arm["reached"], arm["of"]) for arm in some["arms"]] == [(1, 2), (1, 2)]
    assert [arm["reached"] for arm in none["arms"]] == [0, 0]
    for target in (some, none):
        for arm in target["arms"]:
            assert {value for key, value in arm.items() if key not in ("arm", "reached", "of")} == {None}
    efficiency(written, targets=(1.2,))
    assert capsys.readouterr().out.count("censored at 8") == 2
    assert (written / "efficiency-val.png").read_bytes().startswith(b"\x89PNG")


def test_targets_are_what_every_seed_of_the_baseline_reached(written: Path) -> None:
    summary = measure(read_plan(written), "val")
    assert [target["target"] for target in summary["lengths"][0]["targets"]] == [4.0, 3.0, 2.5, 1.5]
    assert all(target["arms"][0]["reached"] == 2 for target in summary["lengths"][0]["targets"])


def test_a_training_loss_is_a_mean_over_the_last_lines(written: Path) -> None:
    done = read_results(read_plan(written))[8]["base"][0]
    curve = read_curve(done, "train", window=3)
    assert curve.steps.tolist() == [6, 8]
    assert curve.losses == pytest.approx([3.0, 2.0])
    assert curve.reached(2.5) == {"steps": 8.0, "tokens": 512.0, "flops": 0.0, "seconds": pytest.approx(1.6)}
    assert len(read_curve(done, "train", window=99).steps) == 1


def test_the_figures_of_a_real_run_add_up(results: Path) -> None:
    for metric in ("train", "val"):
        for length in measure(read_plan(results), metric)["lengths"]:
            for target in length["targets"]:
                base = target["arms"][0]
                assert base["reached"] == 2
                assert 0 < base["seconds"]["mean"] < 60
                assert base["steps"]["mean"] <= length["steps"]


def test_targets_must_come_from_somewhere(results: Path) -> None:
    with pytest.raises(UsageError, match="targets: expected losses, got none"):
        efficiency(results)


def test_flops_are_those_of_the_products() -> None:
    """Six for each weight of a matrix and byte (two forward, four backward), and attention's, within a percent."""
    shape = GPTConfig(n_layer=2, n_head=2, d_model=64, context=64)
    config = TrainConfig(model=shape, batch_size=3)
    T, D, L, V = 64, 64, 2, 256
    weights = 12 * L * D**2 + V * D
    expected = 3 * (6 * weights * T + 12 * L * T**2 * D)
    assert flops_per_step(config) == pytest.approx(expected, rel=0.01)
    filtered = flops_per_step(replace(config, arm=Arm(fir={"kernel_size": 6, "init": "delays"})))
    taps = 3 * 2 * L * 6 * T * D  # sums of products: at least two operations each forward
    assert filtered - flops_per_step(config) > 2 * taps
