"""Caches of every kind that models have: the states of layers follow, or one sentence says why not."""

import copy
import pickle
import threading
from contextlib import nullcontext

import pytest
import torch

from dsptorch import streaming
from dsptorch.surgery import cached_states
from dsptorch.surgery.hf_cache import cache_names, followed
from tests import zoo
from tests.surgery.recurrent import FOLLOWED, PROMPT, REFUSED, WIDTH, augmented, prompt
from tests.surgery.test_generate import Recorded
from tests.tolerances import assert_close

transformers = pytest.importorskip("transformers")
TOKENS = 4
LENGTH = {"max_new_tokens": TOKENS, "min_new_tokens": TOKENS, "do_sample": False}
slow = {"FalconMamba", "Lfm2"}
each = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in slow else name for name in FOLLOWED]
)


def logits_of(model, ids=None, **how):
    """The tokens that were generated, and the logits of each step."""
    recorded = Recorded(model)
    try:
        ids = model.generate(prompt() if ids is None else ids, **{**LENGTH, **how})
    finally:
        recorded.hook.remove()
    return ids, torch.stack(recorded.logits, 1)


def check_logits(model, ids, logits):
    with torch.no_grad():
        whole = model(ids, use_cache=False).logits[:, -logits.shape[1] - 1 : -1]
    assert_close(logits, whole)


@each
def test_generates_again_and_again_with_the_logits_of_the_whole(name):
    model = augmented(*FOLLOWED[name])
    with streaming(model):
        found = [logits_of(model) for _ in range(2)]
        found.append(logits_of(model, do_sample=True))
        found.append(logits_of(model, use_cache=False))
    for ids, logits in found:
        check_logits(model, ids, logits)


@each
def test_beam_search_reorders_the_states(name):
    model = augmented(*FOLLOWED[name])
    how = {**LENGTH, "num_beams": 3, "output_scores": True, "return_dict_in_generate": True}
    whole = model.generate(prompt(), **how, use_cache=False)
    with streaming(model):
        found = [model.generate(prompt(), **how) for _ in range(2)]
    for each in found:
        assert torch.equal(each.sequences, whole.sequences)
        assert_close(each.sequences_scores, whole.sequences_scores)


def test_states_that_are_not_reordered_are_caught(monkeypatch):
    monkeypatch.setattr(cached_states, "select_rows", lambda states, _: states)
    with pytest.raises(AssertionError):
        test_beam_search_reorders_the_states("Mamba2")


@each
def test_outside_of_streaming_a_cache_that_holds_something_is_refused(name):
    model = augmented(*FOLLOWED[name])
    with pytest.raises(ValueError, match=r"history it would lose; call the model within dsptorch\.streaming"):
        model.generate(prompt(), **LENGTH)
    check_logits(model, *logits_of(model, use_cache=False))


@pytest.mark.parametrize("name", REFUSED)
def test_a_kind_that_is_not_known_is_refused_by_its_name(name):
    build, where, kind = REFUSED[name]
    model = augmented(build, where)
    with (
        streaming(model),
        pytest.raises(ValueError, match=f"continues from {kind}.*does not know.*use_cache=False"),
    ):
        model.generate(prompt(), **LENGTH)
    with pytest.raises(ValueError, match="history it would lose"):
        model.generate(prompt(), **LENGTH)
    with streaming(model):
        check_logits(model, *logits_of(model, use_cache=False))


def test_no_kind_is_taken_for_another():
    from transformers.models.reformer.modeling_reformer import ReformerDynamicCache
    from transformers.models.xlstm.modeling_xlstm import xLSTMCache

    reformer = ReformerDynamicCache()
    assert followed({"past_buckets_states": reformer}) is None  # there is nothing in it
    reformer.update(torch.ones(1, 1, 1, 2), torch.ones(1, 2, 4), 0)
    config = transformers.xLSTMConfig(num_heads=2, num_blocks=2, hidden_size=WIDTH)
    for cache in (reformer, xLSTMCache(config, 1), [torch.ones(2)], (None, {"k": (torch.ones(1),)})):
        with pytest.raises(
            ValueError, match=f"from cache_params, a {type(cache).__name__}, .* does not know"
        ):
            followed({"past_key_values": None, "cache_params": cache})
    beside = transformers.EncoderDecoderCache(transformers.DynamicCache(), transformers.DynamicCache())
    assert followed({"past_key_values": beside}) is beside.self_attention_cache
    assert cache_names(["x", "state", "mems"]) == ()  # anything may be called so
    assert cache_names(["mems", "use_mems"]) == ("mems",)
    assert cache_names(["x", "state", "use_cache"]) == ("state",)


def mamba():
    return augmented(*FOLLOWED["Mamba2"])


def test_a_cache_of_recurrent_states_is_copied_reset_and_watched():
    """It counts no tokens, so what the layers did not see shows in the versions of its tensors."""
    model, ids = mamba(), prompt()
    with torch.no_grad(), streaming(model):
        whole = model(ids, use_cache=False).logits
        cache = model(ids[:, :8], use_cache=True).cache_params
        copies = [cache, copy.deepcopy(cache), pickle.loads(pickle.dumps(cache))]  # noqa: S301
        for each in copies:
            assert_close(model(ids[:, 8:], cache_params=each).logits, whole[:, 8:])
        cache.reset()
        assert_close(model(ids[:, :8], cache_params=cache).logits, whole[:, :8])
        for layer in cache.layers[:-1]:  # as a call behind the layers' back would
            layer.recurrent_states[0].add_(0)
        with pytest.raises(ValueError, match="holds tokens that the dsptorch layers did not see"):
            model(ids[:, 8:], cache_params=cache)
    elsewhere = FOLLOWED["Mamba2"][0]().eval()(ids, use_cache=True).cache_params
    with (
        streaming(model),
        pytest.raises(ValueError, match="holds tokens that the dsptorch layers did not see"),
    ):
        model(ids[:, 8:], cache_params=elsewhere)


def test_inference_mode_too():
    model = mamba()
    with torch.inference_mode(), streaming(model):
        ids, logits = logits_of(model)
    check_logits(model, ids.clone(), logits.clone())


def test_a_quantized_cache_is_followed():
    """The weights of attention are rounded, the states of layers are not: as close as the plain model is."""
    build, how = zoo.gpt2, {"cache_implementation": "quantized", "cache_config": {"backend": "fp8"}}
    plain = build(WIDTH, eos_token_id=None).eval()
    model = augmented(lambda: build(WIDTH, eos_token_id=None), "transformer.h.*")
    with streaming(model):
        ids, logits = logits_of(model, pad_token_id=0, **how)
    ids_plain, logits_plain = logits_of(plain, pad_token_id=0, **how)
    with torch.no_grad():
        off = (model(ids, use_cache=False).logits[:, PROMPT - 1 : -1] - logits).abs().max()
        off_plain = (plain(ids_plain, use_cache=False).logits[:, PROMPT - 1 : -1] - logits_plain).abs().max()
    assert 0 < off < 10 * off_plain


def test_threads_generate_within_the_stream_of_another():
    """As with a streamer of text: the states are in the cache, so they are of its call."""
    model, found = augmented(lambda: zoo.gpt2(WIDTH, eos_token_id=None), "transformer.h.*"), []

    def work(seed):
        ids = torch.randint(2, zoo.VOCABULARY, (2, PROMPT), generator=torch.Generator().manual_seed(seed))
        for _ in range(2):
            out = model.generate(
                ids, **LENGTH, pad_token_id=0, output_logits=True, return_dict_in_generate=True
            )
            found.append((out.sequences, torch.stack(out.logits, 1)))
            model(ids, use_cache=False)

    with streaming(model):
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(2)]
        for thread in threads:
            thread.start()
        work(2)
        for thread in threads:
            thread.join()
    assert len(found) == 6
    for ids, logits in found:
        check_logits(model, ids, logits)


@pytest.mark.parametrize("kind", ["static", "offloaded_static"])
@pytest.mark.parametrize("name", ["Mamba", "Gemma3"])
def test_a_cache_of_fixed_size_is_refused(kind, name):
    model = augmented(*FOLLOWED[name])
    with streaming(model), pytest.raises(ValueError, match="goes with a dynamic cache, got a StaticCache"):
        model.generate(prompt(), **LENGTH, cache_implementation=kind)


def test_an_offloaded_cache_fetches_its_first_layer_after_the_states(monkeypatch):
    """It asks the layer after the one that it updates, in a circle; the states stand at the end."""
    model = augmented(lambda: zoo.gpt2(WIDTH, eos_token_id=None), "transformer.h.*")
    with torch.no_grad(), streaming(model):
        cache = model(prompt(), use_cache=True).past_key_values
    fetched = []
    monkeypatch.setattr(cache.layers[0], "prefetch", lambda: fetched.append(0))
    cache.prefetch_stream = nullcontext()
    cache.prefetch(len(cache) - 1, only_non_sliding=False)
    assert fetched == [0]


def test_assisted_generation_is_refused_in_words_of_its_own():
    model = augmented(lambda: zoo.gpt2(WIDTH, eos_token_id=None), "transformer.h.*")
    for how in ({"assistant_model": zoo.gpt2(WIDTH, eos_token_id=None)}, {"prompt_lookup_num_tokens": 2}):
        with (
            streaming(model),
            pytest.raises(ValueError, match="leave out assistant_model and prompt_lookup") as error,
        ):
            model.generate(prompt()[:1].repeat(1, 2), max_new_tokens=4, pad_token_id=0, **how)
        assert "cannot go back to an earlier token" in str(error.value)
