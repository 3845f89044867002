"""Write docs/testing_table.md: every planted bug against the checks, and every honest model.

python -m tests.testing.bug_table > docs/testing_table.md
"""

import inspect
import logging
from collections.abc import Callable, Iterator

import torch

import dsptorch.testing
from dsptorch.testing import assert_causal, max_lookahead
from tests.testing.gallery import LEAKS
from tests.testing.gallery_contract import BUGS
from tests.testing.honest import SIGNAL_MODELS, TOKEN_MODELS, VOCAB, ids, signal
from tests.testing.honest_suspects import SUSPECTS
from tests.testing.leak import Leak, example

PARTS = {
    "eval": {"train_mode": False, "jitter": False},
    "+ train": {"jitter": False},
    "+ jitter": {"train_mode": False},
    "all (default)": {},
}
HEAD = """\
# Planted bugs and honest models

Written by `python -m tests.testing.bug_table`; `tests/testing` keeps it true. Each planted bug must be caught by the
part of the check that is there for it, and no honest model may be accused.
"""


def verdict(leak: Leak, options: dict[str, bool]) -> str:
    torch.manual_seed(0)
    try:
        assert_causal(leak.model(), example(leak), vocab_size=leak.vocab_size, **options)
    except AssertionError as error:
        return "**rows mixed**" if str(error).startswith("the rows") else "**caught**"
    return "passes"


def leaks() -> Iterator[list[str]]:
    yield ["planted leak", "for", *PARTS, "`max_lookahead`, of 40 samples"]
    for name, leak in LEAKS.items():
        torch.manual_seed(0)
        ahead = max_lookahead(leak.model(), example(leak), vocab_size=leak.vocab_size)
        yield [name, leak.caught_by, *(verdict(leak, options) for options in PARTS.values()), str(ahead)]


def honest() -> Iterator[list[str]]:
    yield ["honest model, fresh weights", "example", "float32", "bfloat16", "`max_lookahead`"]
    for name, build in {**SIGNAL_MODELS, **TOKEN_MODELS}.items():
        tokens = name in TOKEN_MODELS
        x, vocab_size = (ids(), VOCAB) if tokens else (signal(), None)
        cells = []
        for dtype in (torch.float32, torch.bfloat16):
            torch.manual_seed(0)
            model = build().to(dtype)
            try:
                assert_causal(model, x if tokens else x.to(dtype), vocab_size=vocab_size, thorough=True)
                cells.append("passes")
            except AssertionError:
                cells.append("**FALSE ALARM**")
        torch.manual_seed(0)
        yield [
            name,
            "ids" if tokens else "signal",
            *cells,
            str(max_lookahead(build(), x, vocab_size=vocab_size)),
        ]


def suspects() -> Iterator[list[str]]:
    yield ["honest model", "verdict", "`max_lookahead`"]
    for name, build in SUSPECTS.items():
        torch.manual_seed(0)
        try:
            assert_causal(build(), signal(), thorough=True)
        except AssertionError:
            cell = "**FALSE ALARM**"
        else:
            cell = "passes"
        torch.manual_seed(0)
        yield [name, cell, str(max_lookahead(build(), signal()))]


def contract() -> Iterator[list[str]]:
    yield ["planted bug", "check that should catch it", "verdict", "the same without the bug"]
    for name, bug in BUGS.items():
        closure = inspect.getclosurevars(bug.check)
        named = [*closure.nonlocals.values(), *closure.globals.values()]
        check = next(
            thing.__name__ for thing in named if getattr(thing, "__name__", "") in dsptorch.testing.__all__
        )
        verdicts = []
        for build, caught, quiet in (
            (bug.broken, "**caught**", "MISSED"),
            (bug.honest, "**FALSE ALARM**", "passes"),
        ):
            try:
                bug.check(build())
            except AssertionError:
                verdicts.append(caught)
            else:
                verdicts.append(quiet)
        yield [name, f"`{check}`", *verdicts]


SECTIONS: dict[str, Callable[[], Iterator[list[str]]]] = {
    "Leaks, by the part of `assert_causal` that they are for": leaks,
    "Broken layers, by check": contract,
    "Honest models: no false alarm": honest,
    "Honest models that are easily accused": suspects,
}


def table() -> str:
    logging.getLogger("transformers").setLevel(logging.ERROR)
    lines = [HEAD]
    for title, rows in SECTIONS.items():
        header, *body = rows()
        if body:
            lines += [f"## {title}\n", _line(header), _line(["---"] * len(header)), *map(_line, body), ""]
    return "\n".join(lines)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    print(table(), end="")
