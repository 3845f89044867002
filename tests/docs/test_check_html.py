"""The check of a built site finds what is planted in one."""

import pytest
from sitekit.check_html import Page, check

HOME = (
    '<h1>Home<a href="#home">#</a></h1><p id="home">See <a href="b.html#there">b</a>.</p>'
    "<pre>&gt;&gt;&gt; 1\n1</pre>"
)
OTHER = '<h1 id="there">B</h1><a href="index.html">home</a> <img src="_static/p.png"><br><code>```</code>'
FILES = {"index.html", "b.html", "_static/p.png"}


def site(home=HOME, other=OTHER):
    return {"index.html": Page(home), "b.html": Page(other)}


def test_a_good_site_passes():
    assert check(site(), FILES) == []


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("b.html#there", "c.html", "index.html: c.html leads to no file"),
        ("b.html#there", "b.html#here", "index.html: b.html#here leads to no such place"),
        ("<h1>Home", "<h2>Home", "index.html: 0 headings of the first order"),
        ("<pre>&gt;&gt;&gt; 1\n1</pre>", "<pre> </pre>", "index.html: an empty code block"),
        (
            "<pre>&gt;&gt;&gt; 1\n1</pre>",
            "<p>&gt;&gt;&gt; 1</p>",
            "index.html: code among sentences: '>>> 1'",
        ),
        (
            "<p id",
            '<script src="https://example.org/a.js"></script><p id',
            "index.html: loads https://example.org/a.js",
        ),
    ],
)
def test_a_planted_fault_is_found(old, new, says):
    assert old in HOME
    assert check(site(HOME.replace(old, new)), FILES) == [says]


def test_a_picture_that_is_missing_is_found():
    assert check(site(), FILES - {"_static/p.png"}) == ["b.html: _static/p.png leads to no file"]
