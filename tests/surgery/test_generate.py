"""HuggingFace's `generate` within `streaming`: the states follow the cache, and the logits are those of the whole."""

import copy

import pytest
import torch

from dsptorch import FIR, Chain, ChannelBottleneck, LFORouting, Multirate, insert, remove, streaming
from dsptorch.testing import assert_causal
from tests.tolerances import assert_close

transformers = pytest.importorskip("transformers")

WIDTH, VOCABULARY, PROMPT = 16, 50, 9


def gpt2():
    config = transformers.GPT2Config(
        n_layer=2,
        n_head=2,
        n_embd=WIDTH,
        vocab_size=VOCABULARY,
        n_positions=256,
        bos_token_id=0,
        eos_token_id=1,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )
    return transformers.GPT2LMHeadModel(config), "transformer.h.*", "transformer.h.*.ln_2"


def llama():
    config = transformers.LlamaConfig(
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        hidden_size=WIDTH,
        intermediate_size=32,
        vocab_size=VOCABULARY,
    )
    return transformers.LlamaForCausalLM(config), "model.layers.*", "model.layers.*.mlp"


def mistral():
    config = transformers.MistralConfig(
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        hidden_size=WIDTH,
        intermediate_size=32,
        vocab_size=VOCABULARY,
        sliding_window=6,
    )
    return transformers.MistralForCausalLM(config), "model.layers.*", "model.layers.*.mlp"


MODELS = [gpt2, llama, mistral]
each = pytest.mark.parametrize("build", MODELS)


def augmented(build=gpt2):
    torch.manual_seed(0)
    model, blocks, after = build()
    insert(model, blocks, lambda _: Chain(Multirate(WIDTH, 3), LFORouting(WIDTH)))
    insert(model, after, lambda _: FIR(WIDTH, 5, init="delays"), position="after")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.double().eval()


def prompts(padded=True):
    ids = torch.randint(2, VOCABULARY, (2, PROMPT), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    if padded:
        mask[0, :4] = 0
    return {"input_ids": ids, "attention_mask": mask}


def full_logits(model, ids, mask):
    position_ids = (mask.cumsum(1) - 1).clamp(min=0)
    with torch.no_grad():
        return model(ids, attention_mask=mask, position_ids=position_ids, use_cache=False).logits


class Recorded:
    """The logits of every call, in the model's own precision: `generate` keeps them in float32."""

    def __init__(self, model):
        self.logits, self.lengths = [], []
        self.hook = model.register_forward_hook(self, with_kwargs=True)

    def __call__(self, model, args, kwargs, output):
        self.logits.append(output.logits[:, -1])
        self.lengths.append(kwargs["input_ids"].shape[1])


def generated(model, inputs, tokens=20, **how):
    recorded = Recorded(model)
    try:
        ids = model.generate(
            **inputs,
            max_new_tokens=tokens,
            min_new_tokens=tokens,
            pad_token_id=1,
            **{"do_sample": False, **how},
        )
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
@pytest.mark.parametrize("do_sample", [False, True])
@pytest.mark.parametrize("padded", [False, True])
def test_generates_with_the_logits_of_the_whole(build, do_sample, padded):
    model = augmented(build)
    with streaming(model):
        check_generation(model, prompts(padded), do_sample=do_sample)
        check_generation(model, prompts(padded), do_sample=do_sample)  # a new cache is a new signal


def test_states_that_do_not_follow_are_caught():
    model = augmented()
    with streaming(model) as stream:
        forget = model.register_forward_pre_hook(lambda *_: stream.reset(), prepend=False)
        with pytest.raises(AssertionError):
            check_generation(model, prompts())
        forget.remove()
        check_generation(model, prompts())


def test_two_hundred_tokens_equal_the_full_forward_at_every_step():
    model, inputs = augmented(), prompts(padded=False)
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    with streaming(model), torch.no_grad():
        streamed, logits, _ = generated(model, inputs, 200, do_sample=True)
    for t in range(200):
        end = PROMPT + t
        expected = full_logits(model, streamed[:, :end], torch.ones(2, end, dtype=torch.int64))[:, -1]
        assert_close(logits[:, t], expected)
    assert torch.equal(streamed[:, :PROMPT], ids)
    assert mask.all()


@each
def test_beam_search_reorders_the_states(build, monkeypatch):
    orders, reorder = [], transformers.Cache.reorder_cache

    def recorded(cache, beam_idx):
        orders.append(beam_idx)
        reorder(cache, beam_idx)

    monkeypatch.setattr(transformers.Cache, "reorder_cache", recorded)
    model, inputs = augmented(build), prompts()
    how = {"num_beams": 3, "num_return_sequences": 2, "output_scores": True, "return_dict_in_generate": True}
    options = {
        **inputs,
        "max_new_tokens": 12,
        "min_new_tokens": 12,
        "pad_token_id": 1,
        "do_sample": False,
        **how,
    }
    with streaming(model):
        ours = model.generate(**options)
    whole = model.generate(**options, use_cache=False)
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


def test_a_prompt_in_chunks_and_a_cache_that_is_copied():
    """deepcopy of the cache forks the states with it."""
    model, inputs = augmented(), prompts(padded=False)
    ids = inputs["input_ids"]
    whole = full_logits(model, ids, torch.ones_like(ids))
    with streaming(model), torch.no_grad():
        first = model(ids[:, :4], use_cache=True)
        kept = copy.deepcopy(first.past_key_values)
        second = model(ids[:, 4:7], past_key_values=first.past_key_values)
        third = model(ids[:, 7:], past_key_values=second.past_key_values)
        again = model(ids[:, 4:], past_key_values=kept)
    assert_close(torch.cat([first.logits, second.logits, third.logits], 1), whole)
    assert_close(again.logits, whole[:, 4:])


def test_rows_are_repeated_selected_and_forgotten_with_the_cache():
    model, inputs = augmented(), prompts(padded=False)
    ids = inputs["input_ids"]
    whole = full_logits(model, ids, torch.ones_like(ids))
    with streaming(model) as stream, torch.no_grad():
        cache = model(ids[:, :5], use_cache=True).past_key_values
        cache.batch_repeat_interleave(2)
        y = model(ids[:, 5:7].repeat_interleave(2, 0), past_key_values=cache).logits
        assert_close(y, whole[:, 5:7].repeat_interleave(2, 0))
        cache.batch_select_indices(torch.tensor([2, 0]))
        y = model(ids[[1, 0], 7:], past_key_values=cache).logits
        assert_close(y, whole[[1, 0], 7:])
        assert all(state.position.tolist() == [9, 9] for state in stream.states.values())


def test_a_cache_with_states_refuses_to_be_cropped_and_stays_whole():
    model, inputs = augmented(), prompts(padded=False)
    ids = inputs["input_ids"]
    with streaming(model), torch.no_grad():
        cache = model(ids[:, :5], use_cache=True).past_key_values
        with pytest.raises(ValueError, match=r"cannot go back.*copy\.deepcopy\(cache\)"):
            cache.crop(-2)
        y = model(ids[:, 5:], past_key_values=cache).logits
        assert_close(y, full_logits(model, ids, torch.ones_like(ids))[:, 5:])
        with pytest.raises(ValueError, match="cannot go back"):
            model.generate(ids[:1], assistant_model=gpt2()[0].double(), max_new_tokens=5, pad_token_id=1)


def test_a_call_on_a_cache_outside_is_refused():
    model, inputs = augmented(), prompts(padded=False)
    ids = inputs["input_ids"]
    cache = model(ids, use_cache=True).past_key_values
    with pytest.raises(ValueError, match=r"history it would lose; call the model within dsptorch\.streaming"):
        model(ids[:, -1:], past_key_values=cache)
    with pytest.raises(ValueError, match="history it would lose"):
        model.generate(ids, max_new_tokens=3, pad_token_id=1)
    ids = model.generate(ids, max_new_tokens=3, pad_token_id=1, use_cache=False)
    assert ids.shape == (2, PROMPT + 3)
    remove(model)
    model(ids[:, -1:], past_key_values=cache)  # that is for the layers' sake alone


def test_layers_without_history_need_no_stream():
    torch.manual_seed(0)
    model, blocks, _ = gpt2()
    insert(model, blocks, lambda _: ChannelBottleneck(WIDTH))
    model.double().eval()
    check_generation(model, prompts())


def test_a_cache_that_the_layers_did_not_see_is_refused():
    model, inputs = augmented(), prompts(padded=False)
    ids = inputs["input_ids"]
    cache = model(ids, use_cache=True).past_key_values
    with streaming(model), torch.no_grad():
        with pytest.raises(ValueError, match="holds 9 tokens, of which the dsptorch layers saw 0"):
            model(ids[:, -1:], past_key_values=cache)
        seen = model(ids, use_cache=True).past_key_values
    remove(model)
    with torch.no_grad():
        model(ids[:, -1:], past_key_values=seen)  # behind the layers' back
    insert(model, "transformer.h.*", lambda _: Multirate(WIDTH))
    with (
        streaming(model.double()),
        torch.no_grad(),
        pytest.raises(ValueError, match="10 tokens, of which the dsptorch layers saw 9"),
    ):
        model(ids[:, -1:], past_key_values=seen)


def test_a_static_cache_is_refused():
    model, inputs = augmented(), prompts()
    with streaming(model), pytest.raises(ValueError, match="goes with a dynamic cache, got a StaticCache"):
        model.generate(**inputs, max_new_tokens=3, pad_token_id=1, cache_implementation="static")


@each
def test_a_left_padded_row_equals_the_row_alone(build):
    model, inputs = augmented(build), prompts()
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    alone = full_logits(model, ids[:1, 4:], mask[:1, 4:])
    assert_close(full_logits(model, ids, mask)[:1, 4:], alone)
    other = ids.clone()
    other[0, :4] = 7
    assert_close(full_logits(model, other, mask)[0, 4:], alone[0])


@each
def test_stays_causal(build):
    model = augmented(build)
    assert_causal(
        lambda ids: model(ids, use_cache=False).logits, prompts()["input_ids"], vocab_size=VOCABULARY
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
    model, blocks, _ = gpt2()

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
