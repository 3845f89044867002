"""Every public name has a page in the reference."""

import pytest
from sitekit.coverage import pages, without_page

PAGES = pages()


def test_every_public_name_has_a_page():
    assert without_page(PAGES) == []


@pytest.mark.parametrize(
    ("page", "name", "missing"),
    [
        ("layers", "EMABank", ["dsptorch.EMABank", "dsptorch.layers.EMABank"]),
        ("testing", "assert_packs", ["dsptorch.testing.assert_packs"]),
    ],
)
def test_a_name_without_a_page_is_caught(page, name, missing):
    assert f"   {name}\n" in PAGES[page]
    assert without_page(PAGES | {page: PAGES[page].replace(f"   {name}\n", "")}) == missing


def test_a_page_for_a_name_that_is_not_there_is_caught():
    with pytest.raises(AttributeError, match="FIRR"):
        without_page(PAGES | {"layers": PAGES["layers"].replace("   FIR\n", "   FIRR\n")})
