"""Every planted leak is caught by the check that should catch it, and passes where only the others look."""

import re
from pathlib import Path

import pytest
import torch

from dsptorch.testing import assert_causal, max_lookahead
from tests.testing.gallery import LEAKS
from tests.testing.honest import SIGNAL_MODELS, TOKEN_MODELS
from tests.testing.honest_suspects import SUSPECTS
from tests.testing.leak import TIME, Leak, example

MESSAGES = {
    "eval": r"^not causal: the output at time \d+ changed by .* from time \d+ on was replaced",
    "batch": r"^the rows of the batch are mixed: a row changed by",
    "one row": r"^not causal for a batch of one row: the output at time \d+",
    "gradients": r"^not causal while gradients are recorded: the output at time \d+",
    "train": r"^not causal in train mode \(dropout at 0, statistics of the batch\): the output at time \d+",
    "jitter": r"^(not causal|the rows of the batch are mixed).* once training has moved the parameters .*: "
    r"(the output at time \d+|a row) changed by",
}
each = pytest.mark.parametrize("name", LEAKS)


def verdict(leak: Leak, batch: int = 2, **options: bool) -> str:
    """What `assert_causal` says of a leak; nothing if it passes."""
    torch.manual_seed(0)
    try:
        assert_causal(leak.model(), example(leak, batch), vocab_size=leak.vocab_size, **options)
    except AssertionError as error:
        return str(error)
    return ""


@each
@pytest.mark.parametrize("batch", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_is_caught_by_the_check_that_should(name, batch):
    message = verdict(LEAKS[name], batch)
    assert re.search(MESSAGES[LEAKS[name].caught_by], message)
    assert re.search(LEAKS[name].says, message)


@pytest.mark.slow
@each
def test_is_caught_when_thorough(name):
    assert verdict(LEAKS[name], thorough=True)


@pytest.mark.parametrize(
    "name", [name for name, leak in LEAKS.items() if leak.caught_by in {"train", "jitter"}]
)
def test_needs_the_check_that_catches_it(name):
    option = {"train": "train_mode", "jitter": "jitter"}[LEAKS[name].caught_by]
    assert not verdict(LEAKS[name], **{option: False})


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, leak in LEAKS.items() if leak.lookahead is not None])
def test_how_far_ahead(name):
    leak = LEAKS[name]
    torch.manual_seed(0)
    assert max_lookahead(leak.model(), example(leak), vocab_size=leak.vocab_size) == leak.lookahead


def test_the_longest_lookahead_is_the_length():
    assert max(leak.lookahead or 0 for leak in LEAKS.values()) == TIME - 1


def check_table(text: str) -> None:
    """The committed table knows every planted leak, and all verdicts are the right ones."""
    rows = {line.split(" | ")[0].removeprefix("| "): line.split(" | ") for line in text.splitlines()}
    assert not set(LEAKS) - set(rows)
    assert not (set(SIGNAL_MODELS) | set(TOKEN_MODELS) | set(SUSPECTS)) - set(rows)
    assert "MISSED" not in text
    assert "FALSE ALARM" not in text
    assert all("**" in rows[name][5] for name in LEAKS)


def test_the_committed_table():
    text = (Path(__file__).parents[2] / "docs" / "testing_table.md").read_text()
    check_table(text)
    for wrong in (
        text.replace("passes | passes | 0", "**FALSE ALARM** | passes | 0", 1),
        text.replace("**caught** | 3 |", "passes | 3 |", 1),
        text.replace('"same" padding', "another"),
    ):
        with pytest.raises(AssertionError):
            check_table(wrong)
