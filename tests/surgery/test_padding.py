"""Padding is read from the mask of a model's call, in checkpoints too, and forgotten when the call is over."""

import pytest
import torch

from dsptorch import FIR, Multirate, insert, remove, streaming
from dsptorch.testing import assert_causal
from tests import zoo
from tests.surgery.language import WIDTH, augmented, each, full_logits, prompts
from tests.tolerances import assert_close

transformers = pytest.importorskip("transformers")


@each
def test_a_left_padded_row_equals_the_row_alone(name):
    model, inputs = augmented(name), prompts()
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    alone = full_logits(model, ids[:1, 4:], mask[:1, 4:])
    assert_close(full_logits(model, ids, mask)[:1, 4:], alone)
    other = ids.clone()
    other[0, :4] = 7
    assert_close(full_logits(model, other, mask)[0, 4:], alone[0])


@each
def test_stays_causal(name):
    model = augmented(name)
    assert_causal(
        lambda ids: model(ids, use_cache=False).logits, prompts()["input_ids"], vocab_size=zoo.VOCABULARY
    )


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
    found = []
    for checkpointing in (False, True):
        model = augmented()
        if checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": reentrant})
        model.train()
        losses = [
            model(**inputs, labels=inputs["input_ids"], use_cache=False).loss,
            model(inputs["input_ids"], labels=inputs["input_ids"], use_cache=False).loss,  # no padding
        ]
        sum(losses).backward()
        found.append({name: p.grad for name, p in model.named_parameters()})
    for name, gradient in found[0].items():
        assert_close(found[1][name], gradient, what=name)


def test_the_modules_around_are_as_before_when_the_last_layer_is_out():
    model, blocks = zoo.gpt2(WIDTH), "transformer.h.*"

    def attributes():
        return [
            (sorted(vars(m)), dict(m._forward_hooks), dict(m._forward_pre_hooks)) for m in model.modules()
        ]

    before = attributes()
    insert(model, blocks, lambda _: Multirate(WIDTH))
    insert(model, "transformer.h.1.attn", lambda _: FIR(WIDTH), position="after")
    with streaming(model):
        pass
    remove(model, blocks + ".dsp_before")
    assert "forward" in vars(model)  # one is left within
    check_padding_is_read(model)
    remove(model)
    assert attributes() == before


def check_padding_is_read(model):
    model.double().eval()
    inputs = prompts()
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    assert_close(full_logits(model, ids, mask)[:1, 4:], full_logits(model, ids[:1, 4:], mask[:1, 4:]))


def test_a_call_that_fails_leaves_nothing_behind():
    model, inputs = augmented(), prompts()
    expected = full_logits(model, inputs["input_ids"], torch.ones_like(inputs["input_ids"]))
    fails = model.transformer.h[1].mlp.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model(**inputs)
    with pytest.raises(ZeroDivisionError):  # where torch runs no hooks behind an exception
        torch.export.export(model, (), {**inputs, "use_cache": False}, strict=False)
    fails.remove()
    x = inputs["input_ids"]
    assert_close(model(x, use_cache=False).logits, expected)


@pytest.mark.parametrize("time_first", [False, True])
def test_lengths_of_rows_are_read_in_either_layout(time_first):
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.block = torch.nn.Linear(WIDTH, WIDTH)

        def forward(self, x, lengths):
            return self.block(x)

    model, x = Model().double(), torch.randn(3, 7, WIDTH, dtype=torch.float64)
    insert(model, "block", lambda _: Multirate(WIDTH, causal=False), layout="tbd" if time_first else "btd")
    model.double()

    def run(x, lengths):
        return model(x.transpose(0, 1), lengths).transpose(0, 1) if time_first else model(x, lengths)

    y = run(x, torch.tensor([7, 4, 2]))
    assert_close(y[1, :4], run(x[1:2, :4], torch.tensor([4]))[0])
    assert not torch.allclose(y[1, :4], run(x[1:2], torch.tensor([7]))[0, :4])
