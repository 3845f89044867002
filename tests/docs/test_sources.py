"""What Sphinx is given: docstrings, links, pages of results."""

import json
import re

import pytest
from sitekit.docstrings import literal_equations
from sitekit.pages import DOCS, ROOT, site_target, with_new_pages, without_archives
from sitekit.results import benchmark_page, result_page


def test_an_equation_is_literal_and_a_section_is_not():
    lines = [
        "Filter.",
        "",
        "    y = a * x",
        "",
        "Args:",
        "    x: A **kind** of |x|.",
        "",
        "    >>> 2 * 3",
        "    6",
    ]
    assert literal_equations(lines) == [
        *("Filter.", "", ".. code-block:: text", "", "    y = a * x", "", "Args:"),
        *(r"    x: A \*\*kind\*\* of \|x\|.", "", "    >>> 2 * 3", "    6"),
    ]


@pytest.mark.parametrize(
    ("target", "page"),
    [
        ("../benchmarks/README.md", "/benchmarks.md"),
        ("../recipes/results/enwiki_head", "/results/enwiki_head.md"),
        ("../recipes/results/banks_250/analysis.md", "/results/banks_250.md"),
        ("../recipes/results/audit", "/results/index.md"),
        ("../benchmarks/results/multirate.json", "../benchmarks/results/multirate.json"),
        ("rates.md", "rates.md"),
        ("https://example.org/README.md", "https://example.org/README.md"),
    ],
)
def test_links_of_the_repository_lead_to_pages(target, page):
    assert site_target(target, DOCS) == page


def test_a_page_that_the_index_does_not_name_is_listed():
    index = (DOCS / "index.md").read_text()
    assert "%more%\n" in index
    shown = re.findall(r"^(?:.+ <)?(\w+)>?$", with_new_pages(index), re.M)
    assert {path.stem for path in DOCS.glob("*.md")} - {"index"} <= set(shown)
    assert len(shown) == len(set(shown))
    for line in ("\nrecurrences\n", "\nRates <rates>\n"):
        assert line in index
        assert line.strip(" \n>").split("<")[-1] in with_new_pages(index.replace(line, "\n")).split()


def test_a_benchmark_s_page_has_the_numbers_of_its_file():
    file = ROOT / "benchmarks" / "results" / "multirate.json"
    page, data = benchmark_page(file, ROOT), json.loads(file.read_text())
    assert data["facts"]["command"] in page
    assert "| ours, compiled | " in page


def test_names_lead_to_their_pages():
    nodes = pytest.importorskip("docutils.nodes")
    pytest.importorskip("sphinx")
    from docutils.utils import new_document
    from sitekit.names import link_names, trim_blocks

    page = new_document("page")
    page += nodes.paragraph("", "", *(nodes.literal(text, text) for text in ("EMA", "find()", "synthesis")))
    page += nodes.title("", "", nodes.literal("EMA", "EMA"))
    page += nodes.literal_block("1\n\n", "1\n\n")
    link_names(page, "recurrences")
    trim_blocks(page)
    paragraph, title, block = page.children
    targets = [child.get("reftarget") for child in paragraph]
    assert targets == ["dsptorch.layers.EMA", "dsptorch.surgery.find", None]
    assert isinstance(title[0], nodes.literal)
    assert block.astext() == "1"


def test_a_result_s_page_has_its_table_its_command_and_its_times():
    folder = ROOT / "recipes" / "results" / "enwiki_head"
    page, times = result_page(folder, ROOT), json.loads((folder / "step_ms.json").read_text())
    assert (folder / "table.md").read_text().strip() in page
    assert times["command"] in page
    assert f"| rope+fir | {times['step_ms']['rope+fir']:,.6g} |" in page


def test_a_page_of_the_gallery_has_no_archive():
    part = "\n    .. container:: sphx-glr-download sphx-glr-download-{}\n\n      :download:`Download: {} <p.{}>`\n"
    page = part.format("python", "p", "py") + part.format("zip", "p", "zip")
    assert without_archives(page) == part.format("python", "p", "py") + "\n"
