"""Padding is read from the mask of a model's call, in checkpoints too, and forgotten when the call is over."""

import pytest
import torch
from torch import nn

from dsptorch import FIR, Multirate, insert, remove, streaming
from dsptorch.testing import assert_causal
from tests import zoo
from tests.surgery.language import MODELS, WIDTH, augmented, each, full_logits, prompts
from tests.surgery.models import check_unchanged, draw, small, snapshot
from tests.tolerances import assert_close

transformers = pytest.importorskip("transformers")


@each
def test_a_left_padded_row_equals_the_row_alone(name):
    check_padding_is_read(augmented(name))


def check_padding_is_read(model):
    inputs = prompts()
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    alone = full_logits(model, ids[:1, 4:], mask[:1, 4:])
    assert_close(full_logits(model, ids, mask)[:1, 4:], alone)
    ids[0, :4] = 7
    assert_close(full_logits(model, ids, mask)[:1, 4:], alone)


@each
def test_stays_causal(name):
    model, ids = augmented(name), prompts()["input_ids"]
    assert_causal(lambda ids: model(ids, use_cache=False).logits, ids, vocab_size=zoo.VOCABULARY)


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_checkpoint_runs_layers_again_with_the_same_padding(reentrant):
    check_checkpoints(reentrant)


@pytest.mark.parametrize("reentrant", [False, True])
def test_padding_that_is_forgotten_in_the_backward_pass_is_caught(reentrant, monkeypatch):
    monkeypatch.setattr("dsptorch.surgery.insertion.masks.remember_in_backward", lambda *_: None)
    with pytest.raises((AssertionError, torch.utils.checkpoint.CheckpointError)):
        check_checkpoints(reentrant)


def check_checkpoints(reentrant):
    """A checkpoint's second forward pass runs within the backward pass, when the model's own call is over."""
    inputs = prompts()
    labels, found = inputs["input_ids"], []
    for checkpointing in (False, True):
        model = augmented()
        if checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": reentrant})
        model.train()
        losses = [
            model(labels, labels=labels, use_cache=False, **masked).loss
            for masked in ({}, {"attention_mask": inputs["attention_mask"]}, {})
        ]
        sum(losses).backward()
        found.append({name: p.grad for name, p in model.named_parameters()})
    for name, gradient in found[0].items():
        assert_close(found[1][name], gradient, what=name)


def test_the_modules_around_are_as_before_when_the_last_layer_is_out():
    model, blocks = zoo.gpt2(WIDTH).double().eval(), MODELS["gpt2"][1]
    ids = prompts()["input_ids"]
    before = snapshot(model, ids)
    insert(model, blocks, lambda _: Multirate(WIDTH))
    insert(model, "transformer.h.1.attn", lambda _: FIR(WIDTH, 2, init="delays").double(), position="after")
    with streaming(model):
        pass
    remove(model, blocks + ".dsp_before")
    assert "forward" in vars(model)  # one is left within
    check_padding_is_read(model)
    remove(model)
    check_unchanged(model, before, ids)


def test_a_call_that_fails_leaves_nothing_behind():
    model, inputs = augmented(), prompts()
    ids = inputs["input_ids"]
    expected = full_logits(model, ids, torch.ones_like(ids))
    fails = model.transformer.h[1].mlp.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model(**inputs)
    with pytest.raises(ZeroDivisionError):  # where torch runs no hooks behind an exception
        torch.export.export(model, (), {**inputs, "use_cache": False}, strict=False)
    fails.remove()
    assert_close(model(ids, use_cache=False).logits, expected)


@pytest.mark.parametrize("layout", ["tbd", "btd"])
def test_lengths_of_rows_are_read_in_either_layout(layout):
    model = small(lambda self, x, lengths: self.block(x), block=nn.Linear(WIDTH, WIDTH)).double()
    insert(model, "block", lambda _: Multirate(WIDTH, causal=False).double(), layout=layout)
    x = draw(3, 7, WIDTH).double()

    def run(x, *lengths):
        dims = (0, 1) if layout == "tbd" else (0, 0)
        return model(x.transpose(*dims), torch.tensor(lengths)).transpose(*dims)

    y = run(x, 7, 4, 2)
    assert_close(y[1, :4], run(x[1:2, :4], 4)[0])
    assert not torch.allclose(y[1, :4], run(x[1:2], 7)[0, :4])
