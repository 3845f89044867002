"""The checks accuse no honest model: 0 false alarms, on fresh weights, in float32 and bfloat16."""

import logging
import time

import pytest
import torch
from gpt.arms import Arm, build
from gpt.model import GPTConfig

from dsptorch.testing import assert_causal, max_lookahead
from tests.layers.table import CAUSAL, CENTRED
from tests.layers.table import build as build_layer
from tests.layers.table import signal as layer_signal
from tests.testing.honest import SIGNAL_MODELS, TOKEN_MODELS, VOCAB, ids, signal

DTYPES = [torch.float32, torch.bfloat16]


@pytest.fixture(autouse=True)
def _quiet():
    """HuggingFace says which fused kernels are not installed."""
    logging.getLogger("transformers").setLevel(logging.ERROR)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", SIGNAL_MODELS)
def test_models_on_signals(name, dtype):
    model = SIGNAL_MODELS[name]().to(dtype)
    assert_causal(model, signal().to(dtype))
    assert_causal(model, signal().to(dtype), thorough=True)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", TOKEN_MODELS)
def test_models_on_token_ids(name, dtype):
    model = TOKEN_MODELS[name]().to(dtype)
    assert_causal(model, ids(), vocab_size=VOCAB)
    assert max_lookahead(model, ids(1), vocab_size=VOCAB) == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", CAUSAL)
def test_our_layers(name, dtype):
    for scatter in (False, True):
        assert_causal(build_layer(name, dtype, scatter), layer_signal(2, 33, dtype))


@pytest.mark.parametrize("name", CENTRED)
def test_our_layers_that_look_ahead_say_how_far(name):
    layer = build_layer(name)
    seen = max_lookahead(layer, layer_signal(1, 2 * (layer.period or 1) + 2 * layer.receptive_field))
    assert 0 < seen <= layer.lookahead
    if not any(part in name for part in ("Chain", "Parallel", "even")):
        assert seen == layer.lookahead


@pytest.mark.parametrize("positions", ["rope", "learned"])
def test_the_recipe_with_our_blocks(positions):
    shape = GPTConfig(
        vocab_size=VOCAB, n_layer=2, n_head=2, d_model=16, context=32, positions=positions, dropout=0.1
    )
    assert_causal(build(shape, Arm()), ids(), vocab_size=VOCAB)
    assert_causal(build(shape, Arm(multirate={}, lfo_routing={}, bottleneck={})), ids(), vocab_size=VOCAB)


def test_gpt2_takes_less_than_two_seconds():
    """Every cut, and all modes; in seconds of processors, so that a busy machine does not matter."""
    transformers = pytest.importorskip("transformers", reason="pip install 'dsptorch[dev]' brings it")
    config = transformers.GPT2Config(
        vocab_size=1000, n_embd=128, n_layer=2, n_head=4, n_positions=64, bos_token_id=0, eos_token_id=0
    )
    model, example = transformers.GPT2LMHeadModel(config), torch.randint(0, 1000, (1, 64))
    start = time.process_time()
    assert_causal(model, example, vocab_size=1000)
    assert time.process_time() - start < 2
