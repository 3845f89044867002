"""A decoder with a cache beside an encoder, which sees whole signals."""

import pytest
import torch

from dsptorch import FIR, insert, streaming
from tests import zoo
from tests.surgery.test_generate import Recorded
from tests.tolerances import assert_close

transformers = pytest.importorskip("transformers")
WIDTH = 16
HEADS = {
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "hidden_size": WIDTH,
    "intermediate_size": 2 * WIDTH,
}


def ids(rows, time, seed=0):
    return torch.randint(6, zoo.VOCABULARY, (rows, time), generator=torch.Generator().manual_seed(seed))


def put_in(model, encoder, decoder):
    insert(model, encoder, lambda _: FIR(WIDTH, 5, init="lowpass", causal=False))
    insert(model, decoder, lambda _: FIR(WIDTH, 5, init="lowpass"))
    return model.double().eval()


def t5():
    sizes = {"vocab_size": zoo.VOCABULARY, "d_model": WIDTH, "d_kv": 8, "d_ff": 32, "num_heads": 2}
    options = {"num_layers": 2, "dropout_rate": 0.0, "decoder_start_token_id": 2, "eos_token_id": None}
    model = zoo.from_transformers("T5Config", "T5ForConditionalGeneration", **sizes, **options)
    return put_in(model, "encoder.block.*", "decoder.block.*")


def test_an_encoder_may_look_ahead_and_begins_anew():
    model, sources = t5(), [ids(2, 9), ids(2, 9, seed=1)]
    with streaming(model) as stream:
        for source in sources:
            recorded = Recorded(model, "decoder_input_ids")
            tokens = model.generate(source, max_new_tokens=5, min_new_tokens=5, do_sample=False)
            recorded.hook.remove()
            with torch.no_grad():
                whole = model(input_ids=source, decoder_input_ids=tokens, use_cache=False).logits
            assert_close(torch.stack(recorded.logits, 1), whole[:, :-1])
        assert all(name.startswith("decoder.") for name in stream.states)


def test_an_encoder_runs_again_beside_a_cache_that_holds_something():
    model, source, target = t5(), ids(2, 9), ids(2, 12)
    with torch.no_grad(), streaming(model):
        cache, logits = None, []
        for chunk in target.split([9, 1, 2], 1):
            output = model(input_ids=source, decoder_input_ids=chunk, past_key_values=cache, use_cache=True)
            cache = output.past_key_values
            logits.append(output.logits)
        whole = model(input_ids=source, decoder_input_ids=target, use_cache=False).logits
    assert_close(torch.cat(logits, 1), whole)


def test_a_second_image_in_one_conversation_is_an_image_of_its_own():
    image = {
        "model_type": "clip_vision_model",
        "image_size": 8,
        "patch_size": 4,
        "projection_dim": 16,
        **HEADS,
    }
    text = {"model_type": "llama", "vocab_size": zoo.VOCABULARY, "num_key_value_heads": 1, **HEADS}
    model = zoo.from_transformers(
        "LlavaConfig",
        "LlavaForConditionalGeneration",
        vision_config=image,
        text_config=text,
        image_token_id=5,
        vision_feature_layer=-1,
    )
    put_in(model, "model.vision_tower.**.layers.*", "model.language_model.layers.*")
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)).double()
    turns = ids(1, 14), ids(1, 14, seed=1)
    for turn in turns:
        turn[:, 2:6] = 5
    with torch.no_grad():
        whole = model(input_ids=torch.cat(turns, 1), pixel_values=images, use_cache=False).logits
        with streaming(model):
            first = model(input_ids=turns[0], pixel_values=images[:1], use_cache=True)
            second = model(input_ids=turns[1], pixel_values=images[1:], past_key_values=first.past_key_values)
    assert_close(torch.cat([first.logits, second.logits], 1), whole)
