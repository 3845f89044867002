"""docs/stack.md is what the logs of the searches say."""

import json
import re
import shutil
from pathlib import Path

import pytest
from gpt.arm_files import arm_files
from gpt.config import load_config
from gpt.errors import CheckpointError
from gpt.search.log import LOG, REFERENCE, read_log
from gpt.search.page import PAGE, RESULTS, SEARCHES, WINNER, make_page, stack
from gpt.search.trials import TOLERANCE, laid_on, read_trials, what_differs
from gpt.verification.ablate import parameters

LINES = [line for name in SEARCHES for line in read_log(RESULTS / name / LOG)]
WANTED = parameters(load_config(arm_files("rope+token_shift")))


def test_the_page_is_made_of_the_logs() -> None:
    assert PAGE.read_text() == make_page(RESULTS)


def test_another_loss_changes_the_page(tmp_path: Path) -> None:
    results = tmp_path / "stack"
    shutil.copytree(RESULTS, results)
    log = results / "enwiki_1000" / LOG
    lines = read_log(log)
    lines[-1]["val_loss"] += 0.5
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    stack(results, tmp_path / "stack.md")
    assert (tmp_path / "stack.md").read_text() != PAGE.read_text()
    log.unlink()
    with pytest.raises(CheckpointError, match="expected the log of a search in"):
        stack(results, tmp_path / "stack.md")


def test_every_line_says_how_it_was_made() -> None:
    for line in LINES:
        assert {"cpu", "torch", "python", "dsptorch"} <= line["machine"].keys()
        assert line["command"].startswith("python recipes/gpt_enwik8.py search ")
        assert line["budget"]["reference"] == "rope+token_shift"
        assert (line["streaming_error"] < 1e-3) == (line["outcome"] == "finished")


def test_parameters_and_time_are_equal() -> None:
    for line in LINES:
        assert abs(line["parameters"] / WANTED - 1) <= TOLERANCE, line["trial"]
        assert abs(line["steps"] * line["time_ratio"] / line["budget"]["steps"] - 1) < 0.01, line["trial"]


@pytest.mark.parametrize("file", ["trials", "finalists"])
def test_the_logged_trials_are_those_of_the_file(file: str) -> None:
    listed = {
        trial.name: json.loads(json.dumps(what_differs(trial.config)))
        for trial in read_trials(RESULTS / f"{file}.yaml", "rope", WANTED)
    }
    searches = SEARCHES[:1] if file == "trials" else SEARCHES[1:]
    logged = {
        line["trial"]: line["config"]
        for name in searches
        for line in read_log(RESULTS / name / LOG)
        if line["trial"] != REFERENCE
    }
    assert logged == {name: listed[name] for name in logged}
    assert set(listed) == set(logged)


def test_the_winner_is_the_configuration_of_its_name() -> None:
    ours = load_config(arm_files(f"rope+{WINNER}"))
    assert parameters(ours) == WANTED
    of_the_log = next(line for line in LINES if line["trial"] == WINNER)
    assert json.loads(json.dumps(what_differs(ours))) == of_the_log["config"]
    assert laid_on("rope", {"arm": {"token_shift": True}}).arm.token_shift


def test_the_files_that_the_page_names_are_there() -> None:
    for link in re.findall(r"\]\(([^)]+)\)", PAGE.read_text()):
        assert (PAGE.parent / link).exists(), link
