import json
import math
from pathlib import Path

import gpt.study
import pytest
from gpt.errors import CheckpointError, UsageError
from gpt.study import study
from gpt.table import markdown

TINY = """
model: {n_layer: 1, n_head: 2, d_model: 16, context: 16}
steps: 4
batch_size: 4
eval_every: 2
accelerator: cpu
lr: LR
"""


@pytest.fixture
def arms(tmp_path: Path) -> list[str]:
    (tmp_path / "text").write_bytes(bytes(range(97, 123)) * 40)
    base = tmp_path / "base.yaml"
    base.write_text(TINY.replace("LR", "3e-3"))
    return [str(base), f"{base}+token_shift"]


def test_a_study_is_summed_up_and_not_made_twice(
    tmp_path: Path, arms: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out = str(tmp_path / "text"), tmp_path / "study"
    table = study(arms, [0, 1], data, tmp_path, out)
    results = json.loads((out / "results.json").read_text())
    assert [row["arm"] for row in results["arms"]] == ["base", "base+token_shift"]
    assert len(results["runs"]) == 4
    base, shifted = results["arms"]
    losses = [run["val_loss"] for run in results["runs"][:2]]
    assert base["val_loss"] == pytest.approx(sum(losses) / 2)
    assert base["val_loss_spread"] == pytest.approx(abs(losses[0] - losses[1]) / math.sqrt(2))
    assert base["change_percent"] is None
    assert shifted["change_percent"] == pytest.approx(100 * (shifted["val_loss"] / base["val_loss"] - 1))
    assert results["machine"]["cpu"]
    assert (out / "table.md").read_text() == table + "\n"

    monkeypatch.setattr(gpt.study, "train", lambda *_: pytest.fail("made again"))
    assert study(arms, [0, 1], data, tmp_path, out) == table

    (tmp_path / "base.yaml").write_text(TINY.replace("LR", "1e-3"))
    with pytest.raises(CheckpointError, match=r"lr: 0\.003 .* 0\.001 now"):
        study(arms, [0, 1], data, tmp_path, out)


def test_a_study_notices_another_text(tmp_path: Path, arms: list[str]) -> None:
    """One byte of the validation text, beside a run that is finished, and beside one that is not."""
    data, out = tmp_path / "text", tmp_path / "study"
    study(arms[:1], [0], str(data), tmp_path, out)
    text = bytearray(data.read_bytes())
    text[len(text) * 92 // 100] ^= 1
    data.write_bytes(text)
    for file in ("result.json", "nothing"):
        with pytest.raises(CheckpointError, match=r"data \(read\): .* in the checkpoint, .* now"):
            study(arms[:1], [0], str(data), tmp_path, out)
        (out / "base-seed0" / file).unlink(missing_ok=True)


def test_arms_of_one_name_are_refused(tmp_path: Path, arms: list[str]) -> None:
    other = tmp_path / "other" / "base.yaml"
    other.parent.mkdir()
    other.write_text(TINY.replace("LR", "1e-3"))
    with pytest.raises(UsageError, match="arms: expected files of different names"):
        study([arms[0], str(other)], [0], str(tmp_path / "text"), tmp_path, tmp_path / "study")


def test_an_unknown_arm_is_named(tmp_path: Path, arms: list[str]) -> None:
    with pytest.raises(FileNotFoundError, match=r"fir, .*learned, .*rope, .*'nope'"):
        study([f"{arms[0]}+nope"], [0], str(tmp_path / "text"), tmp_path, tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_a_table_is_aligned() -> None:
    assert markdown(("arm", "n"), [("a", "1"), ("bcde", "23")]).splitlines() == [
        "| arm  |  n |",
        "|------|---:|",
        "| a    |  1 |",
        "| bcde | 23 |",
    ]
