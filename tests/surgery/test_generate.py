"""HuggingFace's `generate` within `streaming`: the logits are those of the whole."""

import pytest
import torch

from dsptorch import (
    EMA,
    FIR,
    SOS,
    Biquad,
    Chain,
    ChannelBottleneck,
    FilterBank,
    LFOGate,
    ModulatedDelay,
    Resonator,
    Subbands,
    Tremolo,
    insert,
    streaming,
)
from tests import zoo
from tests.surgery.language import PROMPT, WIDTH, augmented, each, full_logits, prompts
from tests.tolerances import assert_close

transformers = pytest.importorskip("transformers")


class Recorded:
    """The logits of every call, in the model's own precision: `generate` keeps them in float32."""

    def __init__(self, model, ids="input_ids"):
        self.logits, self.lengths, self.ids = [], [], ids
        self.hook = model.register_forward_hook(self, with_kwargs=True)

    def __call__(self, model, args, kwargs, output):
        self.logits.append(output.logits[:, -1])
        self.lengths.append(kwargs[self.ids].shape[1])


def generated(model, inputs, tokens=20, **how):
    recorded = Recorded(model)
    length = {"max_new_tokens": tokens, "min_new_tokens": tokens, "pad_token_id": 1}
    try:
        ids = model.generate(**inputs, **length, **{"do_sample": False, **how})
    finally:
        recorded.hook.remove()
    return ids, torch.stack(recorded.logits, 1), recorded.lengths


def check_generation(model, inputs, tokens=20, **how):
    ids, logits, lengths = generated(model, inputs, tokens, **how)
    mask = torch.ones_like(ids)
    mask[:, :PROMPT] = inputs["attention_mask"]
    assert_close(logits, full_logits(model, ids, mask)[:, PROMPT - 1 : -1])
    assert lengths[1:] == [1] * (tokens - 1)  # token by token, by the cache


@each
@pytest.mark.parametrize(("do_sample", "padded"), [(False, True), (True, False)])
def test_generates_with_the_logits_of_the_whole(name, do_sample, padded):
    """One causal pass gives the logits of every step."""
    model = augmented(name)
    with streaming(model):
        check_generation(model, prompts(padded), 80 if do_sample else 20, do_sample=do_sample)
        check_generation(model, prompts(padded), 4, do_sample=do_sample)  # a new cache is a new signal


def test_generates_through_subbands():
    """Late by the delay of the bank, and token by token all the same."""
    model = zoo.gpt2(WIDTH)
    insert(
        model,
        "transformer.h.*",
        lambda _: Subbands(FilterBank(WIDTH, 4, overlap=1), FIR(4 * WIDTH, 2, init="delays")),
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.double().eval()
    with streaming(model):
        check_generation(model, prompts(padded=False))


def test_states_that_do_not_follow_are_caught():
    model = augmented()
    with streaming(model) as stream:
        forget = model.register_forward_pre_hook(lambda *_: stream.reset(), prepend=False)
        with pytest.raises(AssertionError):
            check_generation(model, prompts())
        forget.remove()
        check_generation(model, prompts())


@each
def test_beam_search_reorders_the_states(name, monkeypatch):
    orders, reorder = [], transformers.Cache.reorder_cache

    def recorded(cache, beam_idx):
        orders.append(beam_idx)
        reorder(cache, beam_idx)

    monkeypatch.setattr(transformers.Cache, "reorder_cache", recorded)
    model, inputs = augmented(name), prompts()
    length = {"max_new_tokens": 12, "min_new_tokens": 12, "pad_token_id": 1}
    how = {"num_beams": 3, "num_return_sequences": 2, "output_scores": True, "return_dict_in_generate": True}
    with streaming(model):
        ours = model.generate(**inputs, **length, do_sample=False, **how)
    whole = model.generate(**inputs, **length, do_sample=False, **how, use_cache=False)
    assert torch.equal(ours.sequences, whole.sequences)
    assert_close(ours.sequences_scores, whole.sequences_scores)
    assert any((order != torch.arange(6)).any() for order in orders)  # or the test would show nothing


def test_without_a_cache_each_call_is_a_whole_signal():
    model, inputs = augmented(), prompts()
    with streaming(model):
        ids, logits, lengths = generated(model, inputs, 6, use_cache=False)
    assert lengths[-1] == PROMPT + 5
    mask = torch.cat([inputs["attention_mask"], torch.ones(2, 6, dtype=torch.int64)], 1)
    assert_close(logits, full_logits(model, ids, mask)[:, PROMPT - 1 : -1])


def test_layers_without_history_need_no_stream():
    model = zoo.gpt2(WIDTH)
    insert(model, "transformer.h.*", lambda _: ChannelBottleneck(WIDTH))
    model.double().eval()
    check_generation(model, prompts())


@pytest.mark.parametrize(
    "make",
    [
        lambda _: Chain(EMA(WIDTH, warm=True), Resonator(WIDTH), SOS(WIDTH, 2), Biquad(WIDTH)),
        lambda _: Chain(
            LFOGate(EMA(WIDTH)), ModulatedDelay(WIDTH, 3, interpolation="allpass"), Tremolo(WIDTH)
        ),
    ],
    ids=["recurrences", "modulation"],
)
def test_generates_through_states_of_every_kind(make):
    """Of one tensor or of several, they are kept, reordered and padded like a history."""
    model = zoo.gpt2(WIDTH)
    insert(model, "transformer.h.*", make)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.double().eval()
    with streaming(model):
        check_generation(model, prompts(padded=True), 8)
        check_generation(model, prompts(padded=True), 4, num_beams=1, do_sample=True)
