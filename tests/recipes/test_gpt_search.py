"""A search: equal parameters, equal time, every trial in the log, whatever came of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gpt.generate
import gpt.search.search
import gpt.step_time
import gpt.train
import pytest
from gpt.arms import build
from gpt.config import TrainConfig
from gpt.errors import CheckpointError, UsageError
from gpt.search.log import append, read_log
from gpt.search.search import search
from gpt.search.table import in_markdown
from gpt.search.trials import laid_on, read_trials
from gpt.step_time import lower_quartile, time_ratio
from gpt.train import train

import dsptorch
from tests.recipes.test_gpt_leak_gate import Peek
from tests.recipes.verified import write_files

Search = Callable[..., list[dict[str, Any]]]
SHIFTED = "- {name: shifted, arm: {token_shift: true}}\n"
TABLES = "- {name: tables, arm: {ngrams: {orders: [2], buckets: 8}}}\n"


@pytest.fixture
def tiny_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Search:
    """Return a search in a folder of the test; a step of any arm takes half as long as one of the reference."""
    write_files(tmp_path)
    monkeypatch.setattr(gpt.search.search, "time_ratio", lambda *_, **__: 0.5)

    def run(trials: str = SHIFTED, **options: Any) -> list[dict[str, Any]]:
        (tmp_path / "trials.yaml").write_text(trials)
        base = str(tmp_path / "base.yaml")
        search(
            **{
                "trials": tmp_path / "trials.yaml",
                "reference": base,
                "base": base,
                "steps": 4,
                "results_dir": tmp_path / "search",
                "data": str(tmp_path / "text"),
                **options,
            }
        )
        return read_log(tmp_path / "search" / "trials.jsonl")

    return run


def test_a_trial_has_the_parameters_and_the_time_of_the_reference(
    tiny_search: Search, tmp_path: Path
) -> None:
    reference, shifted, tables = tiny_search(SHIFTED + TABLES, seeds=(3,))
    assert [line["trial"] for line in (reference, shifted, tables)] == ["reference", "shifted", "tables"]
    assert [line["steps"] for line in (reference, shifted, tables)] == [4, 8, 8]
    assert abs(tables["parameters"] / reference["parameters"] - 1) <= 0.01
    assert tables["config"]["model"]["mlp_width"] < 64  # the table's rows are taken from the MLP
    assert {line["outcome"] for line in (reference, shifted, tables)} == {"finished"}
    assert {line["seed"] for line in (reference, shifted, tables)} == {3}
    table = (tmp_path / "search" / "trials.md").read_text()
    assert all(name in table for name in ("reference", "shifted", "tables"))


def test_a_trial_of_other_parameters_is_refused_by_name_before_any_run(
    tiny_search: Search, tmp_path: Path
) -> None:
    wide = "- {name: too-wide, model: {mlp_width: 80}}\n- {name: too-narrow, model: {mlp_width: 50}}\n"
    with pytest.raises(UsageError, match=r"got too-wide with .*\(\+\d.*; too-narrow with .*\(-\d"):
        tiny_search(SHIFTED + wide)
    assert not (tmp_path / "search").exists()


def test_a_trial_that_tells_causes_apart_is_unequal_in_one_thing(tiny_search: Search, tmp_path: Path) -> None:
    slow = "- {name: as-many-steps, unequal: time, arm: {token_shift: true}}\n"
    small = "- {name: small, unequal: parameters, model: {mlp_width: 8}}\n"
    reference, *lines = tiny_search(slow + small)
    assert [line["steps"] for line in lines] == [4, 8]
    assert [line["unequal"] for line in lines] == ["time", "parameters"]
    assert lines[0]["parameters"] == reference["parameters"] > lines[1]["parameters"]
    assert "as-many-steps (unequal time)" in (tmp_path / "search" / "trials.md").read_text()
    with pytest.raises(CheckpointError, match="expected the trial as-many-steps as it is in the log"):
        tiny_search(slow.replace("unequal: time, ", ""))


def test_a_trial_in_the_log_is_not_made_again_and_others_may_be_added(
    tiny_search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tiny_search(SHIFTED)
    made: list[str] = []

    def recorded(config: TrainConfig, *rest: Any) -> Any:
        made.append(config.out.name)
        return train(config, *rest)

    monkeypatch.setattr(gpt.search.search, "train", recorded)
    after = tiny_search(SHIFTED + TABLES, seeds=(0, 1))
    assert after[:2] == before
    assert made == ["reference-seed1", "shifted-seed1", "tables-seed0", "tables-seed1"]


def test_killed_in_a_trial_it_goes_on_with_the_same_number_of_steps(
    tiny_search: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tiny_search(SHIFTED, results_dir=tmp_path / "whole", steps=4)
    whole = read_log(tmp_path / "whole" / "trials.jsonl")

    def killed(config: TrainConfig, *rest: Any) -> Any:
        if config.out.name == "shifted-seed0":
            raise KeyboardInterrupt
        return train(config, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(gpt.search.search, "train", killed)
        with pytest.raises(KeyboardInterrupt):
            tiny_search(SHIFTED)
    monkeypatch.setattr(gpt.search.search, "time_ratio", lambda *_, **__: 2.0)  # another hour of the machine
    resumed = tiny_search(SHIFTED)
    assert [line["steps"] for line in resumed] == [4, 8]
    assert [line["val_loss"] for line in resumed] == [line["val_loss"] for line in whole]


def test_a_number_of_steps_that_is_measured_again_is_seen(
    tiny_search: Search, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without the file of the ratio, the run would go on with another number of steps: its checkpoint refuses."""
    tiny_search(SHIFTED)
    log = tmp_path / "search" / "trials.jsonl"
    log.write_text(log.read_text().split("\n")[0] + "\n")  # as a kill before the line was written
    (tmp_path / "search" / "shifted-time.json").unlink()
    monkeypatch.setattr(gpt.search.search, "time_ratio", lambda *_, **__: 2.0)
    with pytest.raises(CheckpointError, match="steps: 8 in the checkpoint, 2 now"):
        tiny_search(SHIFTED)


def test_a_leak_that_the_gate_misses_is_seen_byte_after_byte(
    tiny_search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leaky(shape: Any, arm: Any) -> Any:
        model = build(shape, arm)
        if arm.token_shift:
            dsptorch.insert(model, "blocks.0", lambda _: Peek(0.1))
        return model

    monkeypatch.setattr(gpt.train, "leak_gate", lambda *_, **__: None)
    for module in (gpt.train, gpt.generate):
        monkeypatch.setattr(module, "build", leaky)
    _, leak = tiny_search(SHIFTED)
    assert leak["outcome"] == "leak"
    assert "byte after byte" in leak["said"]
    assert "val_loss" not in leak


def test_a_leak_and_a_divergence_are_lines_of_the_log(
    tiny_search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leaky(shape: Any, arm: Any) -> Any:
        model = build(shape, arm)
        if arm.token_shift:
            dsptorch.insert(model, "blocks.0", lambda _: Peek(0.1))
        return model

    monkeypatch.setattr(gpt.train, "build", leaky)
    _, leak, diverged = tiny_search(SHIFTED + "- {name: hot, lr: 1.0e+30}\n")
    assert leak["outcome"] == "leak"
    assert "looks ahead" in leak["said"]
    assert "val_loss" not in leak
    assert diverged["outcome"] == "diverged"
    table = in_markdown([leak, diverged])
    assert "leak" in table
    assert "diverged" in table


def test_a_log_of_another_search_is_refused(tiny_search: Search) -> None:
    tiny_search(SHIFTED)
    with pytest.raises(CheckpointError, match="steps: 4 in the checkpoint, 5 now"):
        tiny_search(SHIFTED, steps=5)
    with pytest.raises(CheckpointError, match="expected the trial shifted as it is in the log"):
        tiny_search("- {name: shifted, arm: {fir: {}}}\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- {arm: {}}\n", "a name each"),
        ("name: x\n", "a name each"),
        ("- {name: [\n", "expected a YAML file"),
        (SHIFTED + SHIFTED, "got shifted again"),
        ("- {name: x, batch_size: 8}\n", "batch_size and model.context of the reference in x"),
        ("- {name: x, arm: {no_such: 1}}\n", "no_such"),
        ("- {name: x, unequal: speed}\n", "unequal: time, in x, got 'speed'"),
    ],
)
def test_what_is_not_a_list_of_trials_is_refused(tiny_search: Search, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        tiny_search(text)


def test_an_overlay_lies_on_the_base(tmp_path: Path) -> None:
    write_files(tmp_path)
    overlay = {"lr": 0.5, "arm": {"fir": {"kernel_size": 3}}, "model": {"n_head": 1}}
    config = laid_on(str(tmp_path / "base.yaml"), overlay)
    assert (config.lr, config.arm.fir, config.model.n_head) == (0.5, {"kernel_size": 3}, 1)
    assert config.batch_size == 4
    (tmp_path / "one.yaml").write_text("- {name: x, why: said here, lr: 0.5, model: {mlp_width: 64}}\n")
    (trial,) = read_trials(tmp_path / "one.yaml", str(tmp_path / "base.yaml"), 7216)
    assert trial.overlay == {"lr": 0.5, "model": {"mlp_width": 64}}


def test_the_ratio_of_times_is_measured_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, turns = [0.0], []

    def fake(config: Any) -> Callable[[], None]:
        def step() -> None:
            turns.append(config)
            clock[0] += config * (10 if len(turns) % 7 == 0 else 1)  # others take the core now and then

        return step

    monkeypatch.setattr(gpt.step_time, "one_step", fake)
    monkeypatch.setattr(gpt.step_time.time, "perf_counter", lambda: clock[0])
    assert time_ratio(3.0, 2.0, rounds=16) == pytest.approx(1.5)  # type: ignore[arg-type]
    assert turns == [3.0, 2.0] * 16
    assert lower_quartile([9.0, 1.0, 2.0, 50.0]) == 1.5


def test_a_measured_step_is_an_update(tmp_path: Path) -> None:
    write_files(tmp_path)
    small = laid_on(str(tmp_path / "base.yaml"), {})
    large = laid_on(str(tmp_path / "base.yaml"), {"model": {"n_layer": 8}})
    assert time_ratio(large, small, rounds=8) > 2


def test_a_log_loses_only_the_line_that_a_kill_cut_off(tmp_path: Path) -> None:
    file = tmp_path / "trials.jsonl"
    line = {"trial": "a", "seed": 0, "outcome": "finished"}
    append(file, line)
    with file.open("a") as log:
        log.write('{"trial": "b", "se')
    assert read_log(file) == [line]
    append(file, {**line, "trial": "c"})
    assert [read["trial"] for read in read_log(file)] == ["a", "c"]
    file.write_text("{}\n" + json.dumps(line) + "\n")
    with pytest.raises(CheckpointError, match="expected a trial in line 1 of"):
        read_log(file)


def test_the_table_compares_seed_by_seed_from_the_best_to_the_worst() -> None:
    def line(trial: str, seed: int, loss: float) -> dict[str, Any]:
        return {
            "trial": trial,
            "seed": seed,
            "parameters": 1000,
            "time_ratio": 1.25,
            "flops_ratio": 1.0,
            "steps": 80,
            "outcome": "finished",
            "val_loss": loss,
        }

    lines = [
        *(line("reference", seed, loss) for seed, loss in enumerate((2.0, 2.2))),
        *(line("worse", seed, loss) for seed, loss in enumerate((2.1, 2.3))),
        *(line("better", seed, loss) for seed, loss in enumerate((1.8, 2.1))),
        line("alone", 7, 1.0),  # a seed that the reference has not
    ]
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in in_markdown(lines).splitlines()[2:]]
    assert [row[0] for row in rows] == ["reference", "better", "worse", "alone"]
    assert rows[1][5:8] == ["2", "1.9500 ± 0.2121", "-7.1 %"]
    # differences -0.2 and -0.1: mean -0.15, half width 12.706 x 0.0707 / sqrt(2) = 0.6353, of 2.1
    assert rows[1][8] == "-37.4 to +23.1 %"
    assert rows[2][7] == "+4.8 %"
    assert "1.0" not in rows[3][6]
