"""Each figure of the gallery is a short script with one claim, which it asserts."""

from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).parents[2] / "docs" / "gallery").glob("plot_*.py"))


def check_script(text):
    assert len(text.splitlines()) < 80
    title, claim = text.split('"""')[1].split("**Claim:**")
    assert title.strip()
    assert claim.strip()
    assert "\nassert " in text.split('"""', 2)[2] or "    assert " in text.split('"""', 2)[2]


def test_there_are_ten():
    assert len(SCRIPTS) == 10


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_is_short_and_asserts_its_claim(script):
    check_script(script.read_text())


@pytest.mark.parametrize(
    "text", ['"""T\n\n**Claim:** c\n"""\nx = 1\n', '"""T\n"""\nassert True\n', "\n" * 80]
)
def test_a_script_without_a_claim_or_too_long_is_caught(text):
    with pytest.raises((AssertionError, ValueError, IndexError)):
        check_script(text)


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_runs(script, monkeypatch):
    """The site's build runs them too; here a claim that became false is found without Sphinx."""
    import runpy

    import matplotlib

    matplotlib.use("agg")
    monkeypatch.chdir(script.parents[2])
    runpy.run_path(str(script))
    matplotlib.pyplot.close("all")
