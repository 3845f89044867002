"""docs/stack.md is what the logs of the searches say."""

import json
import re
import shutil
from pathlib import Path

import pytest
from gpt.arm_files import arm_files
from gpt.config import load_config
from gpt.errors import CheckpointError
from gpt.search.families import family, in_families
from gpt.search.log import LOG, REFERENCE, read_log
from gpt.search.page import PAGE, RESULTS, SEARCHES, WINNER, make_page, stack, verdict
from gpt.search.trials import TOLERANCE, laid_on, read_trials, what_differs
from gpt.verification.ablate import parameters

RIVALS = ("Canon layers", "causal Haar averages", "dilated convolutions")
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


def test_parameters_and_time_are_equal_but_where_a_line_says_so() -> None:
    for line in LINES:
        parameters_off = abs(line["parameters"] / WANTED - 1)
        time_off = abs(line["steps"] * line["time_ratio"] / line["budget"]["steps"] - 1)
        unequal = line.get("unequal")
        assert (parameters_off <= TOLERANCE) == (unequal != "parameters"), line["trial"]
        assert (time_off < 0.01) == (unequal != "time"), line["trial"]


@pytest.mark.parametrize(
    ("files", "searches"), [(("trials", "separation"), SEARCHES[:1]), (("finalists",), SEARCHES[1:])]
)
def test_the_logged_trials_are_those_of_the_files(files: tuple[str, ...], searches: tuple[str, ...]) -> None:
    listed = {
        trial.name: json.loads(json.dumps(what_differs(trial.config)))
        for file in files
        for trial in read_trials(RESULTS / f"{file}.yaml", "rope", WANTED)
    }
    logged = {
        line["trial"]: line["config"]
        for name in searches
        for line in read_log(RESULTS / name / LOG)
        if line["trial"] != REFERENCE
    }
    assert logged == listed


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        ([(2.0, 1.9)], "One seed does not show"),
        # in percent of 2.05: mean -4.98, half width 12.706 x 0.002 / 2.05 = 1.24
        ([(2.0, 1.9), (2.1, 1.996)], "lies beyond 3 %: the goal is passed"),
        ([(2.0, 1.98), (2.1, 2.079)], "lies short of 3 %: the goal is missed"),
        (
            [(2.0, 1.93), (2.1, 2.036)],
            "passes the goal of 3 %, and the interval holds .* 2 seeds do not show",
        ),
        ([(2.0, 1.95), (2.1, 2.04)], "misses the goal of 3 %, and the interval holds .* 2 seeds do not show"),
    ],
)
def test_the_verdict_is_that_of_the_interval(losses: list[tuple[float, float]], words: str) -> None:
    assert re.search(words, verdict(losses).replace("\n", " "))


def test_trials_are_counted_by_the_kind_of_arm() -> None:
    def line(trial: str, loss: float, **arm: object) -> dict[str, object]:
        config = {"arm": {"token_shift": True, **arm}}
        return {"trial": trial, "seed": 0, "outcome": "finished", "val_loss": loss, "config": config}

    lines = [
        line(REFERENCE, 2.0),
        line("few", 1.9, ngrams={}),
        line("many", 1.8, ngrams={}, fir={}),
        {**line("hot", 0.0, ngrams={}), "outcome": "diverged"},
        line("canon", 2.1, canon={}),
    ]
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in in_families(lines).splitlines()[2:]]
    assert rows == [
        ["tables of n-grams", "3", "1.8000", "-10.0 %", "`many`"],
        ["token shift, the reference", "1", "2.0000", "reference", "`reference`"],
        ["Canon layers", "1", "2.1000", "+5.0 %", "`canon`"],
    ]


def test_the_rivals_got_as_many_trials_as_each_other() -> None:
    names = {line["trial"]: family(line) for line in LINES if line["budget"]["steps"] == 250}
    counts = [list(names.values()).count(rival) for rival in RIVALS]
    assert len(set(counts)) == 1
    assert min(counts) >= 4


def test_the_winner_is_the_configuration_of_its_name() -> None:
    ours = load_config(arm_files(f"rope+{WINNER}"))
    assert parameters(ours) == WANTED
    of_the_log = next(line for line in LINES if line["trial"] == WINNER)
    assert json.loads(json.dumps(what_differs(ours))) == of_the_log["config"]
    assert laid_on("rope", {"arm": {"token_shift": True}}).arm.token_shift


def test_the_files_that_the_page_names_are_there() -> None:
    for link in re.findall(r"\]\(([^)]+)\)", PAGE.read_text()):
        assert (PAGE.parent / link).exists(), link
