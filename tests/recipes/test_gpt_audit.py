"""docs/audit.md is what the results say."""

import json
import shutil
from pathlib import Path

import pytest
from gpt.errors import CheckpointError
from gpt.verification.analyze import analyze
from gpt.verification.audit import FIGURES, PAGE, RESULTS, audit, in_markdown
from gpt.verification.claims import CLAIMS, VERDICTS, Claim
from gpt.verification.efficiency import efficiency

TESTED = [claim for claim in CLAIMS if not claim.verdict.startswith("cannot be tested here")]


def test_the_page_is_made_of_the_results() -> None:
    assert PAGE.read_text() == in_markdown(CLAIMS, RESULTS)


def test_every_claim_has_a_verdict_and_every_verdict_a_figure() -> None:
    assert len(CLAIMS) >= 15
    assert [claim.words for claim in CLAIMS if not claim.verdict.startswith(VERDICTS)] == []
    assert [claim.words for claim in TESTED if not claim.figures] == []
    assert {kind for claim in CLAIMS for kind, *_ in claim.figures} == set(FIGURES)
    asked = {run for claim in CLAIMS for _, run, *_ in claim.figures}
    assert {folder.name for folder in RESULTS.iterdir()} <= asked


@pytest.mark.parametrize("run", sorted(folder.name for folder in RESULTS.iterdir()))
def test_every_result_says_how_it_was_made(run: str) -> None:
    plan = json.loads((RESULTS / run / "plan.json").read_text())
    assert plan["command"].startswith("python recipes/gpt_enwik8.py ")
    assert {"cpu", "torch", "python", "dsptorch"} <= plan["machine"].keys()
    analysis = json.loads((RESULTS / run / "analysis.json").read_text())
    for length in analysis["lengths"]:
        for row in length["arms"]:
            assert row["seeds"] == plan["seeds"]
            assert len(row["val_loss"]["values"]) == len(plan["seeds"])


def test_another_figure_changes_the_page(results: Path, tmp_path: Path) -> None:
    analyze(results)
    efficiency(results, "train", auto_targets=True)
    claims = [
        Claim("words", "ran", ((kind, "results", *more),), "reproduced")
        for kind, more in {"change": (), "certainty": (), "delta": ("treated",), "saved": ()}.items()
    ]
    page = in_markdown(claims, tmp_path)
    analysis = json.loads((results / "analysis.json").read_text())
    row = analysis["lengths"][-1]["arms"][1]
    assert f"{row['val_loss']['mean']:.3f} ± {row['val_loss']['spread']:.3f}" in page
    assert "p = " in page
    assert "saved [results]" in page
    assert "**results**: `" in page
    row["val_loss_comparison"]["difference"] += 1
    (results / "analysis.json").write_text(json.dumps(analysis))
    assert in_markdown(claims, tmp_path) != page
    shutil.rmtree(results)
    with pytest.raises(CheckpointError, match=r"expected plan\.json in .*results, got no file"):
        in_markdown(claims, tmp_path)


def test_the_command_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    audit(page=tmp_path / "audit.md")
    assert (tmp_path / "audit.md").read_text() == PAGE.read_text()
    assert capsys.readouterr().out == f"{tmp_path / 'audit.md'}\n"
