import json
from pathlib import Path
from typing import Any

import pytest
from gpt.errors import CheckpointError
from gpt.verification.analyze import analyze
from gpt.verification.paired import check_paired, read_results
from gpt.verification.plan import Plan, read_plan

from tests.recipes.verified import LENGTHS, SEEDS


def change(results: Path, arm: str, seed: int, edit: Any) -> None:
    file = results / f"{arm}-steps{LENGTHS[0]}-seed{seed}" / "result.json"
    result = json.loads(file.read_text())
    edit(result)
    file.write_text(json.dumps(result))


def test_the_runs_are_compared(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    analyze(results)
    summary = json.loads((results / "analysis.json").read_text())
    assert [length["steps"] for length in summary["lengths"]] == list(LENGTHS)
    base, treated = summary["lengths"][1]["arms"]
    assert (base["arm"], treated["arm"]) == ("base", "treated")
    assert base["val_loss_comparison"] is None
    folder = results / f"treated-steps{LENGTHS[1]}-seed{SEEDS[0]}"
    assert treated["val_loss"]["values"][0] == json.loads((folder / "result.json").read_text())["val_loss"]
    differences = [
        t - b for b, t in zip(base["test_loss"]["values"], treated["test_loss"]["values"], strict=True)
    ]
    assert treated["test_loss_comparison"]["difference"] == pytest.approx(sum(differences) / 2)
    table = (results / "analysis.md").read_text()
    assert f"{treated['val_loss']['mean']:.4f} ± {treated['val_loss']['spread']:.4f}" in table
    assert table == capsys.readouterr().out
    assert (results / "analysis.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (results / "analysis.svg").read_text()


def test_a_missing_run_is_named(results: Path) -> None:
    (results / f"treated-steps12-seed{SEEDS[1]}" / "result.json").unlink()
    with pytest.raises(CheckpointError, match=r"missing run: .* none of 1 \(treated, 12 steps, seed 123\)"):
        analyze(results)
    assert not (results / "analysis.json").exists()


def test_unpaired_seeds_are_named(results: Path, paired_runs: Plan) -> None:
    """A result of another seed in the place of one; and one seed twice, or not at all."""
    change(results, "treated", 123, lambda result: result["config"].update(seed=7))
    with pytest.raises(
        CheckpointError, match=r"unpaired seeds: .*\[42, 123\] in base and \[42, 7\] in treated"
    ):
        analyze(results)
    base, treated = ([done.result for done in runs] for runs in read_results(paired_runs)[8].values())
    for wrong in (treated[:1], treated[::-1], [treated[0]] * 2, [*treated, treated[0]]):
        with pytest.raises(CheckpointError, match="unpaired seeds"):
            check_paired({"base": base, "treated": wrong})
    with pytest.raises(CheckpointError, match="unpaired seeds"):
        check_paired({"base": [base[0]] * 2, "treated": [treated[0]] * 2})


@pytest.mark.parametrize("key", ["batch_size", "model.context", "steps", "data"])
def test_another_data_order_is_named(results: Path, key: str) -> None:
    *sections, last = key.split(".")

    def edit(result: Any) -> None:
        section = result["config"]
        for name in sections:
            section = section[name]
        section[last] = "other" if last == "data" else section[last] + 1

    change(results, "treated", 42, edit)
    with pytest.raises(CheckpointError, match=rf"another data order: .*treated.* seed 42, got {key} "):
        analyze(results)


def test_another_text_is_named(results: Path) -> None:
    change(results, "treated", 42, lambda result: result.update(data="text, crc32 0"))
    with pytest.raises(
        CheckpointError, match=r"another text: expected text, 1,872 bytes .* got text, crc32 0"
    ):
        analyze(results)


def test_another_configuration_is_named(results: Path) -> None:
    """Of the arm itself, in a run or in both, which pairs would not show."""
    for arm in ("base", "treated"):
        change(results, arm, 42, lambda result: result["config"].update(lr=1.0))
    with pytest.raises(CheckpointError, match=r"lr: 1\.0 in the checkpoint, 0\.01 now"):
        analyze(results)


def test_a_folder_without_a_plan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"expected the results of verify or ablate in .*, got no plan\.json"
    ):
        analyze(tmp_path)
    for text in ("[]", "{", '{"arms": 3, "lengths": [], "seeds": []}', "{}"):
        (tmp_path / "plan.json").write_text(text)
        with pytest.raises(CheckpointError, match="expected a plan in"):
            read_plan(tmp_path)
