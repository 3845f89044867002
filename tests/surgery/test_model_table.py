"""docs/models_table.md says what is so."""

from pathlib import Path

import pytest
from torch import nn

from tests.surgery.model_places import WIDTH, Place, signal
from tests.surgery.model_table import CHECKS, HEAD, ROWS, check_causal, check_padding, reasons, verdict
from tests.surgery.models import small

TABLE = Path(__file__).parents[2] / "docs" / "models_table.md"


def rows():
    """The cells of the committed table, by model."""
    lines = [
        line.strip("| ").split(" | ") for line in TABLE.read_text().splitlines() if line.startswith("| ")
    ]
    head, *body = lines
    assert head[1:] == list(CHECKS)
    return {name: dict(zip(CHECKS, cells, strict=True)) for name, *cells in body}


def test_the_table_is_complete_and_green():
    table = rows()
    assert list(table) == list(ROWS)
    assert TABLE.read_text().startswith(HEAD)
    for name, cells in table.items():
        assert cells == {check: reasons(ROWS[name]).get(check) or "ok" for check in CHECKS}


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_the_table_is_true(name):
    if "torchaudio" in name:
        pytest.importorskip("torchaudio", exc_type=(ImportError, OSError))
    found = {check: verdict(name, check) for check in CHECKS}
    assert found == rows()[name]


def test_a_place_that_leaks_or_mixes_is_caught():
    place = Place(
        lambda: small(lambda self, x: self.inner(x) + x.flip(1), inner=nn.Linear(WIDTH, WIDTH)),
        "inner",
        signal,
        causal=True,
        padded=lambda model, x, real: model(x),  # the mask does not arrive
    )
    with pytest.raises(AssertionError, match="not causal"):
        check_causal(place)
    with pytest.raises(AssertionError, match="not close"):
        check_padding(place)
