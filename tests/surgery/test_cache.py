"""The states of layers follow the cache of a HuggingFace model, or the call is refused."""

import copy

import pytest
import torch

from dsptorch import Multirate, insert, remove, streaming
from tests import zoo
from tests.surgery.language import PROMPT, WIDTH, augmented, full_logits, prompts
from tests.tolerances import assert_close

transformers = pytest.importorskip("transformers")


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
            model.generate(
                ids[:1], assistant_model=zoo.gpt2(WIDTH).double(), max_new_tokens=5, pad_token_id=1
            )


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
