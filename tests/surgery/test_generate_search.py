"""A search for streams that lose track: `generate` by the cache finds what it finds by whole sequences."""

from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dsptorch import Chain, LFORouting, Multirate, insert, streaming
from dsptorch.surgery import cached_states
from tests import zoo
from tests.tolerances import assert_close

transformers = pytest.importorskip("transformers")
WIDTH, NEW = 16, 4
EXAMPLES = 12 if settings.default.max_examples < 100 else 240
MODELS = {
    "GPT-2": (zoo.gpt2, "transformer.h.*", ("left", "none")),
    "Llama": (zoo.llama, "model.layers.*.self_attn", ("left", "none")),
    "Gemma": (zoo.gemma, "model.layers.*", ("left", "none")),
    "Mamba": (zoo.mamba, "backbone.layers.*", ("left", "none")),
    "T5": (zoo.t5, "decoder.block.*", ("right", "none")),
    "BART": (zoo.bart, "model.decoder.layers.*", ("right", "none")),
}
CACHES = ("none given", "dynamic")


@cache
def augmented(name):
    build, where, _ = MODELS[name]
    model = build(WIDTH).double().eval()
    insert(model, where, lambda _: Chain(Multirate(WIDTH), LFORouting(WIDTH)))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, dtype=torch.float64, generator=generator))
    return model


@st.composite
def cases(draw):
    name = draw(st.sampled_from(list(MODELS)))
    rows, time = draw(st.integers(1, 3)), draw(st.integers(1, 6))
    side = draw(st.sampled_from(MODELS[name][2]))
    lengths = torch.tensor(draw(st.lists(st.integers(1, time), min_size=rows, max_size=rows))).unsqueeze(1)
    real = torch.arange(time) < (lengths if side != "none" else torch.full_like(lengths, time))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 9)))
    ids = torch.randint(2, zoo.VOCABULARY, (rows, time), generator=generator)
    beams = draw(st.sampled_from([1, 1, 3]))
    how = {"num_beams": beams, "num_return_sequences": draw(st.integers(1, beams))}
    return name, ids, (real.flip(1) if side == "left" else real).long(), how, draw(st.sampled_from(CACHES))


@torch.no_grad()
def check_generation(name, ids, mask, how, kind):
    """Twice, since a second call is a new signal."""
    model = augmented(name)
    length = {"max_new_tokens": NEW, "min_new_tokens": NEW, "do_sample": False, "pad_token_id": 0}
    given = {"attention_mask": mask, **how, **length, "return_dict_in_generate": True, "output_scores": True}
    whole = model.generate(ids, **given, use_cache=False)
    decoder_only = not model.config.is_encoder_decoder and name != "Mamba"
    with streaming(model):
        for _ in range(2):
            if kind == "dynamic" and decoder_only:
                given["past_key_values"] = transformers.DynamicCache(config=model.config)
            found = model.generate(ids, **given)
            assert torch.equal(found.sequences, whole.sequences), f"{name}, {kind}, {how}"
            for scores, expected in zip(
                found.scores, whole.scores, strict=True
            ):  # in float32, whatever the model is in
                assert_close(scores, expected, what=f"{name}, {kind}, {how}")


@settings(max_examples=EXAMPLES)
@given(cases())
def test_a_cache_finds_what_whole_sequences_find(case):
    check_generation(*case)


def test_states_that_stay_where_they_are_in_beam_search_are_caught(monkeypatch):
    monkeypatch.setattr(cached_states.CachedStates, "reorder_cache", lambda self, rows: None)
    ids = torch.randint(2, zoo.VOCABULARY, (3, 6), generator=torch.Generator().manual_seed(0))
    with pytest.raises(AssertionError, match="GPT-2"):
        check_generation(
            "GPT-2", ids, torch.ones_like(ids), {"num_beams": 3, "num_return_sequences": 2}, "none given"
        )
