"""A small study as a user runs it; and the committed one says what its table and its page say."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import ppg.study
import pytest
import torch
from gpt.lock import LOCK, locked
from gpt.table import mean_and_spread
from ppg.data import Recording, split
from ppg.table import table
from ppg_forecast import main

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = ROOT / "recipes" / "results" / "ppg"


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> Recording:
    """A short piece, with beats to find."""
    noise = torch.randn(8000, generator=torch.Generator().manual_seed(0))
    made = split(500 + 100 * torch.sin(2 * math.pi * torch.arange(8000) / 60) + 5 * noise)
    monkeypatch.setattr(ppg.study, "load", lambda: made)
    return made


def cells(text: str, label: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {label} "))
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.usefixtures("recording")
def test_a_study_is_summed_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["study", "--arms", "[plain, conv]", "--seeds", "[0, 1]", "--steps", "3", "--out", str(tmp_path)])
    text = (tmp_path / "table.md").read_text()
    assert capsys.readouterr().out == text
    results = json.loads((tmp_path / "results.json").read_text())
    assert [(run["arm"], run["seed"]) for run in results["runs"]] == [
        ("plain", 0),
        ("conv", 0),
        ("plain", 1),
        ("conv", 1),
    ]
    one, other = (run["test_rmse"] for run in results["runs"] if run["arm"] == "plain")
    spread = abs(one - other) / math.sqrt(2)
    assert cells(text, "plain")[4] == f"{(one + other) / 2:.1f} ± {spread:.1f}"
    assert cells(text, "plain")[8] == "yes"
    assert cells(text, "nn.Conv1d, causal")[8].startswith("no: ")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert all(len(values) == len(results["example"]["signal"]) for values in results["example"].values())

    (tmp_path / "table.md").unlink()
    main(["report", "--out", str(tmp_path)])
    assert (tmp_path / "table.md").read_text() == text

    main(["cost", "--rounds", "1", "--out", str(tmp_path)])
    times = json.loads((tmp_path / "step_ms.json").read_text())["step_ms"]
    timed = (tmp_path / "table.md").read_text()
    assert (cells(text, "plain")[9], cells(timed, "plain")[9]) == ("", f"{times['plain']:.0f}")


@pytest.mark.usefixtures("recording")
def test_tune_says_what_each_rate_gives(tmp_path: Path) -> None:
    arguments = ("--lrs", "[0.01, 0.02]", "--seeds", "[0]", "--steps", "2")
    main(["tune", *arguments, "--out", str(tmp_path)])
    assert len((tmp_path / "tune.md").read_text().splitlines()) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["study", "--arms", "[plain, nope]"], "['nope']"),
        (["study", "--arms", "[conv]"], "plain with them"),
        (["study", "--arms", "[plain, plain]"], "each once"),
        (["study", "--seeds", "[]"], "seeds: expected a sequence"),
        (["study", "--steps", "0"], "steps: expected an integer >= 1, got 0"),
        (["study", "--horizon", "4800"], "lower --horizon"),
        (["tune", "--horizon", "4800"], "lower --horizon"),
        (["report", "--out", "/nowhere"], "nowhere/results.json, got no file"),
    ],
)
@pytest.mark.usefixtures("recording")
def test_what_the_user_can_set_right_is_said_without_a_traceback(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    refusal: Callable[..., str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in refusal(main, arguments)
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_the_committed_table_is_that_of_the_committed_numbers() -> None:
    results, times = (json.loads((COMMITTED / name).read_text()) for name in ("results.json", "step_ms.json"))
    text = (COMMITTED / "table.md").read_text()
    assert table(results, times["step_ms"]) + "\n" == text
    results["runs"][0]["test_rmse"] += 1
    assert table(results, times["step_ms"]) + "\n" != text


def test_pairs_are_made_seed_by_seed() -> None:
    runs = [
        {"arm": arm, "seed": seed, "test_rmse": rmse, "test_mae": 1.0} | dict.fromkeys(OTHERS, 0.0)
        for arm, seed, rmse in (("plain", 0, 4), ("conv", 0, 1), ("conv", 1, 5), ("lfo", 1, 7), ("lfo", 0, 2))
    ]
    text = table({"baselines": [], "seeds": [0, 1], "runs": runs}, {})
    assert cells(text, "LFORouting, less nn.Conv1d, causal")[1:] == ["+1.5 ± 0.7", "+0.0 ± 0.0"]


OTHERS = ("val_rmse", "test_rmse_windows", "test_rmse_chunks", "chunks_apart", "memory", "parameters")


def test_the_page_has_the_committed_table() -> None:
    assert (COMMITTED / "table.md").read_text() in (ROOT / "docs" / "ppg.md").read_text()


@pytest.mark.usefixtures("recording")
def test_a_folder_belongs_to_one_command(tmp_path: Path, refusal: Callable[..., str]) -> None:
    main(["study", "--arms", "[plain]", "--seeds", "[0]", "--steps", "1", "--out", str(tmp_path)])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name != LOCK}
    with locked(tmp_path):
        for command in ("study", "tune", "cost", "report"):
            assert "no other process uses" in refusal(main, [command, "--out", str(tmp_path)])
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


def check_page(page: str) -> None:
    """The page's sentences on the undecimated bank and on streams have the numbers of the results."""
    words = " ".join(page.split())
    first, later = (
        json.loads((COMMITTED / folder / "results.json").read_text())["runs"]
        for folder in (".", "undecimated")
    )

    def of(runs: list, arm: str, name: str = "test_rmse") -> list[float]:
        return [run[name] for run in runs if run["arm"] == arm]

    def saved(arm: str) -> str:
        pairs = zip(of(first, arm), of(later, "undecimated"), strict=True)
        return mean_and_spread([a - b for a, b in pairs])

    assert f"by {saved('multirate')} less than Multirate" in words
    assert f"and {saved('dilated')} less than the dilated convolution" in words


def test_the_page_says_what_was_found() -> None:
    page = (ROOT / "docs" / "ppg.md").read_text()
    check_page(page)
    with pytest.raises(AssertionError):
        check_page(page.replace("by 1.9 ±", "by 1.8 ±"))
