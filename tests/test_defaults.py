"""docs/defaults.md names every argument of a public layer that has a default."""

import inspect
import re
from pathlib import Path

import pytest

import dsptorch
from dsptorch import Layer

PAGE = Path(__file__).parents[1] / "docs" / "defaults.md"
SELF_EVIDENT = {"d_model", "device", "dtype"}


def rows_of(page: str) -> dict[str, set[str]]:
    """The arguments that the table names, by layer; a row without a layer goes on with the one before."""
    found: dict[str, set[str]] = {}
    layer = ""
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|") or len(cells) < 3:
            continue
        layer = cells[0].strip("`") or layer
        found.setdefault(layer, set()).update(re.findall(r"`(\w+)`", cells[1]))
    return found


def check_page(page: str) -> None:
    rows = rows_of(page)
    for layer in vars(dsptorch).values():
        if not (inspect.isclass(layer) and issubclass(layer, Layer)) or inspect.isabstract(layer):
            continue
        arguments = inspect.signature(layer).parameters.values()
        with_default = {a.name for a in arguments if a.default is not inspect.Parameter.empty} - SELF_EVIDENT
        missing = with_default - rows.get(layer.__name__, set())
        assert not missing, f"{layer.__name__}: {', '.join(sorted(missing))}"


def test_the_page_names_every_default():
    check_page(PAGE.read_text())


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("| | `cutoff` |", "| | `corner` |", "FIR: cutoff"),
        ("| `EMABank` |", "| `Bank` |", "EMABank: half_life, start, warm"),
    ],
)
def test_a_default_that_is_left_out_is_caught(old, new, says):
    page = PAGE.read_text()
    assert old in page
    with pytest.raises(AssertionError, match=says):
        check_page(page.replace(old, new))
