import json
from dataclasses import replace
from pathlib import Path

import gpt.verification.verify
import pytest
from gpt.config import CONFIGS, TrainConfig
from gpt.errors import UsageError
from gpt.train import train
from gpt.verification.ablate import ablate, parameters, rows, same_parameters
from gpt.verification.plan import make_plan

from tests.recipes.verified import write_files

BLOCKS = ("multirate", "lfo_routing", "bottleneck")


def files(*names: str) -> list[str]:
    return [part for name in names for part in ("--config", str(CONFIGS / f"{name}.yaml"))]


@pytest.fixture
def configs(tmp_path: Path) -> dict[str, TrainConfig]:
    return make_plan(
        rows(files("rope"), files("rope", "seed_blocks", "adaptive")), None, (0,), tmp_path
    ).configs


def test_the_rows_are_those_of_the_study_and_their_reverse(configs: dict[str, TrainConfig]) -> None:
    has = {
        arm: [block for block in BLOCKS if getattr(config.arm, block) is not None]
        for arm, config in configs.items()
    }
    assert has == {
        "full": [*BLOCKS],
        "without_adaptive": [*BLOCKS],
        "without_multirate": ["lfo_routing", "bottleneck"],
        "without_lfo_routing": ["multirate", "bottleneck"],
        "without_bottleneck": ["multirate", "lfo_routing"],
        "baseline": [],
        "baseline_widened": [],
        "multirate_alone": ["multirate"],
        "lfo_routing_alone": ["lfo_routing"],
        "bottleneck_alone": ["bottleneck"],
    }
    adaptive = {arm: config.adaptive_dsp.enabled for arm, config in configs.items()}
    fixed = {"without_adaptive", "baseline", "baseline_widened"}
    assert {arm for arm, enabled in adaptive.items() if not enabled} == fixed
    assert configs["without_adaptive"].hyperparam_lr == 0
    for config in configs.values():  # nothing else differs
        same = replace(
            config,
            arm=configs["full"].arm,
            adaptive_dsp=configs["full"].adaptive_dsp,
            hyperparam_lr=None,
            model=configs["full"].model,
        )
        assert same == configs["full"]


def test_the_widened_baseline_has_as_many_parameters(configs: dict[str, TrainConfig]) -> None:
    full, plain, wide = (parameters(configs[arm]) for arm in ("full", "baseline", "baseline_widened"))
    assert abs(plain / full - 1) > 0.1
    assert abs(wide / full - 1) < 0.001
    assert same_parameters(configs["baseline"], plain) == 4 * configs["baseline"].model.d_model


def test_a_treatment_without_blocks_cannot_be_taken_apart() -> None:
    for treatment in (files("rope", "fir"), files("rope")):
        with pytest.raises(UsageError, match=r"treatment: expected two or more of multirate, .*, got 0"):
            rows(files("rope"), treatment)
    without = rows(files("rope"), files("rope", "seed_blocks"))
    assert "without_adaptive" not in without


@pytest.mark.slow
def test_all_rows_are_made_and_analyzed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_files(tmp_path)
    for name in ("base", "treated"):
        file = tmp_path / f"{name}.yaml"
        file.write_text(file.read_text().replace("eval_every: 4", "eval_every: 2"))
    (tmp_path / "treated.yaml").write_text(
        (tmp_path / "base.yaml").read_text() + "arm: {multirate: {}, bottleneck: {}}\n"
    )
    monkeypatch.setattr(
        gpt.verification.verify,
        "run_side_by_side",
        lambda runs, **_: [train(run.config) for run in runs],
    )
    base, treated = (str(tmp_path / f"{name}.yaml") for name in ("base", "treated"))
    ablate(base, treated, (1, 2), (2,), tmp_path / "out", workers=2)
    summary = json.loads((tmp_path / "out" / "analysis.json").read_text())
    (length,) = summary["lengths"]
    assert length["baseline"] == "full"
    assert [row["arm"] for row in length["arms"]] == [
        "full",
        "without_multirate",
        "without_bottleneck",
        "baseline",
        "baseline_widened",
        "multirate_alone",
        "bottleneck_alone",
    ]
    table = capsys.readouterr().out
    for row in length["arms"]:
        assert f"{row['parameters']:,}" in table
        assert row["step_ms"]["mean"] > 0
