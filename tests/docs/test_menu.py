"""The menu of a page: the first two levels, its own branch, and where it is."""

import re

import pytest
import sitekit.menu
from sitekit.check_html import Page
from sitekit.menu import Entry, menu


def entry(title, *below):
    pages = frozenset({title}).union(*(part.pages for part in below))
    return Entry(title, title, below, pages)


LISTS = [
    Entry("Start", "", (entry("guide"),), frozenset({"guide"})),
    Entry(
        "Reference",
        "",
        (
            entry(
                "api",
                entry("api/layers", entry("api/EMA"), entry("api/FIR")),
                entry("api/audio", entry("api/Mel")),
            ),
        ),
        frozenset({"api", "api/layers", "api/EMA", "api/FIR", "api/audio", "api/Mel"}),
    ),
]


def shown(page):
    return menu(LISTS, page, lambda target: f"{target}.html")


def links(html):
    return Page(f"<h1>menu</h1>{html}").links


def check_links():
    assert links(shown("guide")) == ["#", "api.html", "api/layers.html", "api/audio.html"]
    assert links(shown("api/EMA")) == [
        *("guide.html", "api.html", "api/layers.html", "#", "api/FIR.html", "api/audio.html")
    ]


def test_a_page_sees_two_levels_and_all_of_its_own_branch():
    check_links()


@pytest.mark.parametrize("levels", [1, 3])
def test_a_menu_of_other_levels_is_caught(monkeypatch, levels):
    monkeypatch.setattr(sitekit.menu, "_OPEN_LEVELS", levels)
    with pytest.raises(AssertionError):
        check_links()


def test_the_way_to_a_page_is_open_and_the_page_alone_is_marked():
    html = shown("api/EMA")
    assert re.findall(r'<li class="([^"]*current-page[^"]*)"><a[^>]*>([^<]*)', html) == [
        ("toctree-l3 current current-page", "api/EMA")
    ]
    assert re.findall(r'navigation of (\S+)"[^>]* checked', html) == ["api", "api/layers"]
    assert " checked" not in shown("guide")


def test_titles_are_text_and_boxes_have_names_of_their_own():
    html = menu([Entry("A & B", "", (Entry("<b>", "b", (), frozenset()),), frozenset())], "none", str)
    assert "A &amp; B" in html
    assert "<b>" not in html
    boxes = re.findall(r'id="([^"]*)"', shown("api/Mel"))
    assert len(boxes) == len(set(boxes)) == 2
