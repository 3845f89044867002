"""Layers in models that nobody here wrote: they start as the identity, learn, are saved, and come out."""

import copy

import pytest
import torch

from dsptorch import FIR, Blend, remove
from tests.surgery import model_table
from tests.surgery.model_places import MORE, PLACES, TIME, WIDTH
from tests.surgery.model_table import (
    check_copy,
    check_identity,
    check_insert,
    check_remove,
    check_trains,
    plain,
    put_in,
)
from tests.surgery.models import check_unchanged, snapshot

ALL = PLACES | MORE
GPT2, GRU = PLACES["transformers GPT-2"], PLACES["nn.GRU"]
QUICK = [
    "transformers GPT-2",
    "transformers Llama",
    "transformers BERT",
    "nn.TransformerEncoder, time first",
    "1-D convolutions",
    "nn.GRU",
]
"""One of each layout and kind of output; test_model_table.py has the others of the table."""

each = pytest.mark.parametrize("name", QUICK + [pytest.param(name, marks=pytest.mark.slow) for name in MORE])


@each
def test_starts_as_the_identity(name):
    check_identity(ALL[name])


def test_what_is_no_identity_is_caught():
    with pytest.raises(AssertionError):
        check_identity(GRU, identity=False)


@each
def test_trains(name):
    check_trains(ALL[name])


class Detached(Blend):
    def forward(self, x, **kwargs):
        return super().forward(x.detach(), **kwargs).detach() + x


def test_a_layer_that_does_not_learn_is_caught(monkeypatch):
    monkeypatch.setattr(model_table, "layer", lambda _: Detached(FIR(WIDTH, 3)).double())
    with pytest.raises(AssertionError):
        check_trains(GRU)


@each
def test_copies(name):
    """And checkpoints load, and classes and signatures stay."""
    check_insert(ALL[name])


def test_a_copy_that_shares_its_layers_is_caught():
    with pytest.raises(AssertionError):
        check_copy(GRU, copy.copy)


@each
def test_removal_restores_exactly(name):
    check_remove(ALL[name])


def test_a_removal_that_leaves_something_is_caught():
    def forget_a_hook(model):
        names = remove(model)
        model.inner.register_forward_pre_hook(lambda module, args: None)
        return names

    with pytest.raises(AssertionError):
        check_remove(GRU, forget_a_hook)


def check_refused(place, message, **changes):
    model, x = plain(place), place.inputs(2, TIME, 0)
    before = snapshot(model, x)
    with pytest.raises(ValueError, match=message):
        put_in(place, model, **changes)
    check_unchanged(model, before, x)


UNCLEAR = {
    "tbd": r"batch_first=False, so time may come first.*layout='tbd'.*layout='btd'",
    "bct": r"whose channels come second; give layout='bct'",
}


@pytest.mark.parametrize("name", [name for name, place in ALL.items() if "layout" in place.options])
def test_an_unclear_layout_is_refused_until_it_is_said(name):
    check_refused(ALL[name], UNCLEAR[ALL[name].options["layout"]], layout=None)


@pytest.mark.parametrize(
    "name", [name for name, place in ALL.items() if place.options.get("layout") != "bct"]
)
def test_the_probe_catches_a_wrong_layout(name):
    """A filter across the batch, which nothing else would notice, unless there is padding to keep out."""
    wrong = "btd" if "layout" in ALL[name].options else "tbd"
    check_refused(ALL[name], r"would mix the rows of a batch|segment_ids must be of shape", layout=wrong)


def test_hidden_states_can_be_asked_for():
    """transformers listens to its blocks by hooks of its own."""
    model, x = plain(GPT2), GPT2.inputs(2, TIME, 0)
    expected = model(x, output_hidden_states=True).hidden_states
    names = put_in(GPT2, model, identity=True)
    found = model(x, output_hidden_states=True).hidden_states
    assert len(found) == len(expected)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert remove(model) == names
