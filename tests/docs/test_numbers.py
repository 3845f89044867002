"""The numbers on pages are those of the committed results that they link, and the README is short."""

import re
from pathlib import Path

import pytest
from sitekit.fill import fill, pages
from sitekit.tables import TABLES, gpt

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"


@pytest.mark.parametrize(
    "page", [page for page in pages() if "<!-- from: " in page.read_text()], ids=lambda p: p.name
)
def test_tables_are_those_of_the_results(page):
    """`python docs/sitekit/fill.py` writes them."""
    assert fill(page.read_text(), TABLES) == page.read_text()


def test_a_number_that_was_typed_is_caught():
    text = README.read_text()
    assert "1.590 ± 0.007" in text
    changed = text.replace("1.590 ± 0.007", "1.580 ± 0.007")
    assert fill(changed, TABLES) == text != changed


def test_times_are_those_of_the_file_that_the_readme_links():
    """The losses' file has times too, of another machine's load; the README links the one that it shows."""
    text = README.read_text()
    assert "[ms a step](recipes/results/enwiki_head/step_ms.json)" in text
    assert gpt() in text


def test_every_table_is_on_a_page():
    shown = {name for page in pages() for name in re.findall(r"<!-- from: (\w+) -->", page.read_text())}
    assert shown == set(TABLES)


def check_stack(text):
    (paragraph,) = (part for part in text.split("\n\n") if "docs/stack.md" in part)
    paragraph = " ".join(paragraph.split())
    figures = re.findall(r"-\d+\.\d\d(?: to -\d+\.\d\d)? %", paragraph)
    assert len(figures) == 2
    page = (ROOT / "docs" / "stack.md").read_text()
    assert all(figure in page for figure in figures)
    assert ("five seeds" in paragraph) == ("of 5 paired seeds" in page)


def test_the_readme_says_of_the_stack_what_its_page_says():
    """The page is made of the logs of the search."""
    check_stack(README.read_text())
    for said, wrong in (("-3.03 %", "-3.13 %"), ("five seeds", "three seeds")):
        with pytest.raises(AssertionError):
            check_stack(
                README.read_text().replace(said + ",", wrong + ",").replace(said + " (", wrong + " (")
            )


def check_readme(text):
    lines = text.splitlines()
    assert len(lines) <= 120
    assert len(re.findall(r"-m pytest$", text, re.M)) == 1
    assert len(re.findall(r"^!\[.*\]\(.*\.png\)$", text, re.M)) == 2
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (ROOT / target).exists(), target


def test_the_readme_is_short_and_its_links_lead_somewhere():
    check_readme(README.read_text())


@pytest.mark.parametrize("more", ["\n" * 120, "\nrun it: -m pytest\n", "\n[here](docs/nowhere.md)\n"])
def test_a_readme_with_a_fault_is_caught(more):
    with pytest.raises(AssertionError):
        check_readme(README.read_text() + more)
