"""Inserted layers come out without a trace, all of them or some."""

import re

import pytest
from torch import nn

from dsptorch import Multirate, insert, remove
from tests.surgery.models import WIDTH, check_unchanged, lag, model, snapshot


def test_removal_restores_exactly():
    m = model()
    before = snapshot(m)
    names = [
        *insert(m, "blocks.*", lag),
        *insert(m, "blocks.*", lag, position="after", identity=True),
        *insert(m, "blocks.1.mlp", lag),
        *insert(m, "recurrent.gru", lag, position="after"),
    ]
    assert len(names) == 8
    with pytest.raises(AssertionError):
        check_unchanged(m, before)
    assert sorted(remove(m)) == sorted(names)
    check_unchanged(m, before)


@pytest.mark.parametrize(
    "where", [Multirate, "blocks.*.dsp_before", lambda name, layer: name.startswith("blocks")]
)
def test_removal_of_some(where):
    m = model()
    insert(m, "head", lag)
    before = snapshot(m)
    names = insert(m, "blocks.*", lambda _: Multirate(WIDTH))
    assert remove(m, where) == names
    check_unchanged(m, before)


def test_removal_refuses_what_was_not_inserted():
    m = model()
    with pytest.raises(ValueError, match="there is no inserted layer in Model"):
        remove(m)
    insert(m, "blocks.1", lag)
    before = snapshot(m)
    for where, says in {
        "head": "'head' matches head, which was not inserted; inserted layers are: blocks.1.dsp_before",
        "**": "matches blocks, which was not inserted",
        "nothing": "nothing in Model matches 'nothing'",
        nn.GRU: "matches nothing that was inserted",
    }.items():
        with pytest.raises(ValueError, match=re.escape(says)):
            remove(m, where)
    check_unchanged(m, before)


def test_inserted_layers_are_no_place():
    m = model()
    insert(m, "blocks.0", lambda _: nn.Sequential(nn.Linear(WIDTH, WIDTH)))
    assert len(insert(m, nn.Linear, lag)) == 7
    with pytest.raises(ValueError, match="matches nothing but layers that were inserted before"):
        insert(m, "blocks.0.dsp_before", lag)
