"""The checks accuse no honest model: 0 false alarms, on fresh weights, in float32 and bfloat16."""

import logging
import time

import pytest
import torch
from gpt.arms import Arm, build
from gpt.model import GPTConfig

from dsptorch.testing import assert_causal, max_lookahead
from tests.layers.table import ONE_OF_EACH_KIND
from tests.layers.table import build as build_layer
from tests.layers.table import signal as layer_signal
from tests.testing.honest import SIGNAL_MODELS, TOKEN_MODELS, VOCAB, ids, signal
from tests.testing.honest_suspects import SUSPECTS

DTYPES = [torch.float32, torch.bfloat16]


@pytest.fixture(autouse=True)
def _quiet():
    """HuggingFace says which fused kernels are not installed."""
    logging.getLogger("transformers").setLevel(logging.ERROR)


LOOPS = {"Mamba-like", "RWKV-like"}  # over time, in Python
HALF = pytest.param(torch.bfloat16, marks=pytest.mark.slow)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", [name for name in SIGNAL_MODELS if name not in LOOPS])
def test_models_on_signals(name, dtype):
    assert_causal(SIGNAL_MODELS[name]().to(dtype), signal().to(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, HALF], ids=str)
@pytest.mark.parametrize("name", sorted(LOOPS))
def test_models_that_loop(name, dtype):
    assert_causal(SIGNAL_MODELS[name]().to(dtype), signal().to(dtype))


@pytest.mark.parametrize("name", SUSPECTS)
def test_models_that_are_easily_accused(name):
    torch.manual_seed(0)
    assert_causal(SUSPECTS[name](), signal())


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", SIGNAL_MODELS)
def test_models_on_signals_thoroughly(name, dtype):
    assert_causal(SIGNAL_MODELS[name]().to(dtype), signal().to(dtype), thorough=True)


@pytest.mark.parametrize("dtype", [torch.float32, HALF], ids=str)
@pytest.mark.parametrize("name", TOKEN_MODELS)
def test_models_on_token_ids(name, dtype):
    model = TOKEN_MODELS[name]().to(dtype)
    assert_causal(model, ids(), vocab_size=VOCAB)
    assert max_lookahead(model, ids(1), vocab_size=VOCAB) == 0


@pytest.mark.parametrize("name", ONE_OF_EACH_KIND)
def test_our_layers_as_they_are_built(name):
    """Fresh and in float32; scattered and in float64 it is a promise of the contract."""
    layer = build_layer(name, torch.float32, scatter=False)
    assert_causal(layer, layer_signal(2, 33, torch.float32))


@pytest.mark.parametrize("positions", ["rope", "learned"])
def test_the_recipe_with_our_blocks(positions):
    shape = GPTConfig(
        vocab_size=VOCAB, n_layer=2, n_head=2, d_model=16, context=32, positions=positions, dropout=0.1
    )
    assert_causal(build(shape, Arm()), ids(), vocab_size=VOCAB)
    assert_causal(build(shape, Arm(multirate={}, lfo_routing={}, bottleneck={})), ids(), vocab_size=VOCAB)


@pytest.mark.slow
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
