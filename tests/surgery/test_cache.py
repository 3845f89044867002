"""The states of layers follow the cache of a HuggingFace model, or the call is refused."""

import copy

import pytest
import torch
from torch import nn

from dsptorch import Multirate, insert, remove, streaming
from dsptorch.surgery.hf_cache import holds_tokens
from tests import zoo
from tests.surgery.language import PROMPT, WIDTH, augmented, full_logits, prompts
from tests.surgery.models import draw, lag, small
from tests.tolerances import assert_close

transformers = pytest.importorskip("transformers")
IDS = prompts()["input_ids"]


@pytest.fixture
def model():
    with torch.no_grad():
        yield augmented()


@pytest.fixture
def whole(model):
    return full_logits(model, IDS, torch.ones_like(IDS))


def test_a_prompt_in_chunks_and_a_cache_that_is_copied(model, whole):
    """deepcopy of the cache forks the states with it."""
    with streaming(model):
        first = model(IDS[:, :4], use_cache=True)
        kept = copy.deepcopy(first.past_key_values)
        second = model(IDS[:, 4:7], past_key_values=first.past_key_values)
        third = model(IDS[:, 7:], past_key_values=second.past_key_values)
        again = model(IDS[:, 4:], past_key_values=kept)
    assert_close(torch.cat([first.logits, second.logits, third.logits], 1), whole)
    assert_close(again.logits, whole[:, 4:])


def test_rows_are_repeated_selected_and_forgotten_with_the_cache(model, whole):
    with streaming(model) as stream:
        cache = model(IDS[:, :5], use_cache=True).past_key_values
        cache.batch_repeat_interleave(2)
        y = model(IDS[:, 5:7].repeat_interleave(2, 0), past_key_values=cache).logits
        assert_close(y, whole[:, 5:7].repeat_interleave(2, 0))
        cache.batch_select_indices(torch.tensor([2, 0]))
        y = model(IDS[[1, 0], 7:], past_key_values=cache).logits
        assert_close(y, whole[[1, 0], 7:])
        assert all(state.position.tolist() == [9, 9] for state in stream.states.values())


def test_a_cache_with_states_refuses_to_be_cropped_and_stays_whole(model, whole):
    with streaming(model):
        cache = model(IDS[:, :5], use_cache=True).past_key_values
        with pytest.raises(ValueError, match=r"cannot go back.*copy\.deepcopy\(cache\)"):
            cache.crop(-2)
        assert_close(model(IDS[:, 5:], past_key_values=cache).logits, whole[:, 5:])
        assistant = zoo.gpt2(WIDTH).double()
        with pytest.raises(ValueError, match="cannot go back"):
            model.generate(IDS[:1], assistant_model=assistant, max_new_tokens=5, pad_token_id=1)


def test_a_call_on_a_cache_outside_is_refused(model):
    cache = model(IDS, use_cache=True).past_key_values
    with pytest.raises(ValueError, match=r"history it would lose; call the model within dsptorch\.streaming"):
        model(IDS[:, -1:], past_key_values=cache)
    with pytest.raises(ValueError, match="history it would lose"):
        model.generate(IDS, max_new_tokens=3, pad_token_id=1)
    ids = model.generate(IDS, max_new_tokens=3, pad_token_id=1, use_cache=False)
    assert ids.shape == (2, PROMPT + 3)
    remove(model)
    model(ids[:, -1:], past_key_values=cache)  # that is for the layers' sake alone


def test_a_cache_that_the_layers_did_not_see_is_refused(model):
    cache = model(IDS, use_cache=True).past_key_values
    with streaming(model):
        with pytest.raises(ValueError, match="holds 9 tokens, of which the dsptorch layers saw 0"):
            model(IDS[:, -1:], past_key_values=cache)
        seen = model(IDS, use_cache=True).past_key_values
    remove(model)
    model(IDS[:, -1:], past_key_values=seen)  # behind the layers' back
    insert(model, "transformer.h.*", lambda _: Multirate(WIDTH).double())
    refuses = pytest.raises(ValueError, match="10 tokens, of which the dsptorch layers saw 9")
    with streaming(model), refuses:
        model(IDS[:, -1:], past_key_values=seen)


def test_a_static_cache_is_refused(model):
    with streaming(model), pytest.raises(ValueError, match="goes with a dynamic cache, got a StaticCache"):
        model.generate(**prompts(), max_new_tokens=3, pad_token_id=1, cache_implementation="static")


def cached():
    """A model of somebody's own, with a cache of a kind that nobody knows."""
    made = small(lambda self, x, past_key_values=None: self.inner(x), inner=nn.Linear(4, 4))
    insert(made, "inner", lag)
    return made


@pytest.mark.parametrize(
    "cache", [((torch.ones(1, 2, 3, 4),) * 2,), [None, {"k": torch.ones(1)}]], ids=["tuple", "list"]
)
def test_a_cache_of_an_unknown_kind_is_refused_if_it_holds_something(cache):
    with pytest.raises(ValueError, match="history"):
        cached()(draw(1, 5, 4), past_key_values=cache)


@pytest.mark.parametrize("cache", [None, (), [], [None, None], ((torch.ones(1, 2, 0, 4),) * 2,)], ids=str)
def test_an_empty_one_is_a_new_signal(cache):
    assert not holds_tokens(cache)
    made, x = cached(), draw(1, 5, 4)
    assert torch.equal(made(x, past_key_values=cache), made(x))
