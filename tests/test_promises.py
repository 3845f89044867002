"""docs/promises.md names tests that are there, and leaves out no promise of the contract and no public check."""

import ast
from functools import cache
from pathlib import Path

import pytest

from dsptorch.testing.contract import CONTRACT
from tests.testing.gallery_contract import BUGS

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "promises.md"
CASES = {"test_each_part_of_the_contract_is_checked": CONTRACT, "test_is_caught": BUGS}
"""The names that may stand in brackets behind a test."""


@cache
def names_in(file: str) -> set[str]:
    """The ids of a file's tests, without cases."""
    found = set()
    for node in ast.parse((TESTS / file).read_text()).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{part.name}" for part in node.body if isinstance(part, ast.FunctionDef)}
    return {name for name in found if name.split("::")[-1].startswith("test_")}


def check_page(page: str) -> None:
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    rows = [row for row in rows if row[0] != "promise"]
    assert rows
    for promise, *ids in rows:
        assert len(ids) == 2, promise
        for test in ids:
            file, _, name = test.strip("`").partition("::")
            name, _, case = name.partition("[")
            assert (TESTS / file).is_file(), f"{promise}: there is no {file}"
            assert name in names_in(file), f"{promise}: {file} has no {name}"
            assert not case or case.rstrip("]") in CASES[name], f"{promise}: {name} has no case {case}"
    promises = {row[0].partition(":")[0].strip("`") for row in rows}
    assert set(CONTRACT) <= promises, f"left out: {set(CONTRACT) - promises}"


def test_the_page_names_what_there_is():
    check_page(PAGE.read_text())


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("layers/test_onnx.py", "layers/test_onyx.py", "there is no layers/test_onyx.py"),
        ("::test_trains`", "::test_learns`", "test_real_models.py has no test_learns"),
        ("[a graph for each length]", "[a graph]", "has no case a graph"),
        ("`dtypes`", "`types`", "left out: {'dtypes'}"),
    ],
)
def test_a_page_that_names_what_is_not_there_is_caught(old, new, says):
    page = PAGE.read_text()
    assert old in page
    with pytest.raises(AssertionError, match=says.replace("[", r"\[")):
        check_page(page.replace(old, new))
