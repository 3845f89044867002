"""Every number of every command and configuration has a range, which is checked where it is made or called."""

import math
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import gpt.config
import gpt.generate
import gpt_enwik8
import ppg.train
import ppg_forecast
import pytest
import spoken_syllables
import voice.train
import voice_bits
from gpt import small_study
from gpt.errors import UsageError
from gpt.ranges import Count, Distinct, Range, checked

SECTIONS = [f.default_factory for f in fields(gpt.config.TrainConfig) if is_dataclass(f.default_factory)]
CLASSES = [gpt.config.TrainConfig, *SECTIONS, ppg.train.TrainConfig, voice.train.TrainConfig]
FUNCTIONS = [
    *gpt_enwik8.COMMANDS.values(),
    gpt.generate.generate,
    *ppg_forecast.COMMANDS.values(),
    *spoken_syllables.COMMANDS.values(),
    *voice_bits.COMMANDS.values(),
    small_study.set_threads,
]
GIVEN = {
    "checkpoint": Path("none"),
    "model": object(),
    "prompt": b"a",
    "length": 1,
    "data": "none",
    "threads": 1,
    "baseline": "rope",
    "treatment": ["fir"],
    "results_dir": Path("none"),
    "trials": Path("none"),
}
NOT_OF_A_COMMAND = {"timeout"}


def number(hint: Any) -> tuple[type, Range | None] | None:
    """Return the type and the range of a number, or of the numbers in a sequence; None of anything else."""
    if hint in (int, float):
        return hint, None
    if get_origin(hint) is Annotated:
        kind, *rules = get_args(hint)
        found = number(kind)
        return found and (found[0], next((r for r in rules if isinstance(r, Range)), found[1]))
    return next((found for part in get_args(hint) if (found := number(part))), None)


def numbers(of: Callable[..., object]) -> dict[str, tuple[type, Range | None]]:
    hints = get_type_hints(of, include_extras=True)
    return {
        name: found
        for name, hint in hints.items()
        if name not in NOT_OF_A_COMMAND | {"return"} and (found := number(hint))
    }


def without_range(of: Callable[..., object]) -> list[str]:
    return [name for name, (_, declared) in numbers(of).items() if declared is None]


def test_every_number_has_a_range() -> None:
    assert sum(len(numbers(of)) for of in (*CLASSES, *FUNCTIONS)) > 40
    assert {of.__qualname__: without_range(of) for of in (*CLASSES, *FUNCTIONS) if without_range(of)} == {}


def test_a_number_without_a_range_is_caught() -> None:
    def command(
        a: Count, b: int, c: Annotated[float, "what"], d: Sequence[int], e: str, f: float | None
    ) -> None:
        pass

    assert without_range(command) == ["b", "c", "d", "f"]


def wrong(declared: Range) -> list[Any]:
    below = declared.low if declared.without == declared.low else declared.low - 1
    above = [declared.high if declared.without == declared.high else declared.high + 1]
    return [below, *above, math.nan, math.inf, -math.inf, True, "1"]


@pytest.mark.parametrize("of", CLASSES, ids=lambda of: f"{of.__module__}.{of.__qualname__}")
def test_a_configuration_refuses_what_is_out_of_range(of: Callable[..., object]) -> None:
    for name, (_, declared) in numbers(of).items():
        assert declared
        for value in wrong(declared):
            with pytest.raises(UsageError, match=rf"{name}: expected .*, got .*; change it"):
                of(**{name: value})


@pytest.mark.parametrize("of", FUNCTIONS, ids=lambda of: f"{of.__module__}.{of.__qualname__}")
def test_a_command_refuses_what_is_out_of_range(
    of: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    hints = get_type_hints(of, include_extras=True)
    given = {name: value for name, value in GIVEN.items() if name in hints}
    for name, (_, declared) in numbers(of).items():
        assert declared
        several = get_origin(get_args(hints[name])[0]) is Sequence
        for value in wrong(declared):
            with pytest.raises(UsageError, match=rf"{name}: expected .*, got .*; change it"):
                of(**given | {name: [value] if several else value})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("declared", "inside", "outside", "shown"),
    [
        (Range(0), (0, 0.5, 10**400), (-1e-300, math.nan, math.inf), ">= 0"),
        (Range(0, without=0), (5e-324, 1e308), (0, -0.0, math.inf), "> 0"),
        (Range(0, 1), (0, 1), (1.001,), "in [0, 1]"),
        (Range(0, 1, without=1), (0, 0.999), (1,), "in [0, 1)"),
        (Range(0, 1, without=0), (1e-9, 1), (0,), "in (0, 1]"),
        (Distinct(), ([1], [1, 2]), ([], [1, 1]), "of one element or more, each once"),
    ],
)
def test_ranges(declared: Any, inside: tuple[Any, ...], outside: tuple[Any, ...], shown: str) -> None:
    assert all(value in declared for value in inside)
    assert not any(value in declared for value in outside)
    assert repr(declared) == shown


def test_what_may_be_null_is_declared_so() -> None:
    @checked
    def call(a: Count | None = None, b: bool = True, c: Literal["x", "y"] = "x") -> str:
        return f"{a} {b} {c}"

    assert call(None, b=False, c="y") == "None False y"
    with pytest.raises(UsageError, match="a: expected an integer >= 1, got 0; change it"):
        call(0)
    with pytest.raises(UsageError, match="b: expected a value, got null; give one, or leave the key out"):
        call(b=None)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="c: expected 'x' or 'y', got 'z'; change it"):
        call(c="z")  # type: ignore[arg-type]
