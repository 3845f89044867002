"""Every planted bug is caught by the check that should catch it, and what is like it without the bug passes."""

import inspect

import pytest

import dsptorch.testing
from tests.testing.gallery_contract import BUGS

OTHERS = {  # shown elsewhere: in the gallery of leaks, and in the tests of these very names
    "assert_causal",
    "max_lookahead",
    "influence_matrix",
    "assert_close",
    "assert_same",
    "check_layer",
    "contract_tests",
}


@pytest.mark.parametrize("name", BUGS)
def test_is_caught(name):
    bug = BUGS[name]
    with pytest.raises(AssertionError, match=bug.says):
        bug.check(bug.broken())


@pytest.mark.parametrize("name", BUGS)
def test_is_no_false_alarm(name):
    BUGS[name].check(BUGS[name].honest())


def test_every_check_has_a_planted_bug():
    shown = set()
    for bug in BUGS.values():
        closure = inspect.getclosurevars(bug.check)
        named = [*closure.nonlocals.values(), *closure.globals.values()]
        shown |= {thing.__name__ for thing in named if inspect.isfunction(thing)}
    assert set(dsptorch.testing.__all__) <= shown | OTHERS
