"""Every argument that is True or False is one of them: "no" and "causal=1" are true to Python."""

import inspect

import pytest

import dsptorch
import dsptorch.functional
import dsptorch.testing
from dsptorch.functional.bounds import change_bounds
from dsptorch.functional.design import firwin

PLACES = (dsptorch, dsptorch.functional, dsptorch.testing)
OTHERS = {  # what an argument without a default is given
    "d_model": 4,
    "num": 2,
    "numtaps": 5,
    "cutoff": 0.5,
    "init": 0.5,
    "value": 0.5,
    "low": 0.1,
    "high": 1.0,
    "new_low": 0.1,
    "new_high": 1.0,
    "raw": dsptorch.functional.from_bounded(0.5, 0.1, 1.0),
}


def boolean(function):
    """The arguments of a function that are annotated as bool."""
    return [
        name for name, p in inspect.signature(function).parameters.items() if p.annotation in (bool, "bool")
    ]


def functions():
    for place in PLACES:
        for name in place.__all__:
            thing = getattr(place, name)
            if callable(thing):
                yield thing
    yield from (firwin, change_bounds)


CASES = {(f, name) for f in functions() for name in boolean(f)}


def check_refuses(function, name):
    given = {
        n: OTHERS.get(n)
        for n, p in inspect.signature(function).parameters.items()
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    }
    for bad in ("no", f"{name}=1", 1, None):
        with pytest.raises(TypeError, match=f"^{name} must be True or False, got .* of type"):
            function(**given | {name: bad})


@pytest.mark.parametrize(
    ("function", "name"), [pytest.param(f, n, id=f"{f.__name__}-{n}") for f, n in sorted(CASES, key=str)]
)
def test_is_true_or_false(function, name):
    check_refuses(function, name)


def test_there_are_such_arguments():
    names = {(f.__name__, name) for f, name in CASES}
    assert len(names) >= 25
    assert {("FIR", "causal"), ("BoundedHyperparam", "log"), ("assert_causal", "jitter")} <= names


def test_one_that_is_not_checked_is_caught():
    def silent(d_model: int, causal: bool = True) -> bool:
        return not causal

    with pytest.raises(pytest.fail.Exception):
        check_refuses(silent, "causal")
