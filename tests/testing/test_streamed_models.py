"""assert_streaming_equals_batch on whole models: what it runs, what it leaves as it was, what it refuses."""

from functools import partial

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, MambaConfig, MambaForCausalLM

from dsptorch import FIR, Multirate, insert
from dsptorch.testing import assert_streaming_equals_batch
from tests.surgery.models import draw
from tests.testing.broken_layers import WIDTH
from tests.testing.broken_models import Attends, Convolves, behind
from tests.testing.bug import example

SMALL = {"vocab_size": 50, "bos_token_id": None, "eos_token_id": None, "pad_token_id": None}


def gpt2(**kwargs):
    model = GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=2, n_head=2, n_positions=32, **SMALL, **kwargs))
    insert(model, "transformer.h.*", lambda block: Multirate(16))
    return model.double()


def ids(time=12):
    return torch.randint(0, 50, (2, time), generator=torch.Generator().manual_seed(0))


def test_a_model_of_huggingface_gets_its_cache_back():
    assert_streaming_equals_batch(gpt2(), ids())
    with pytest.raises(
        AssertionError, match=r"the output logits differs .* first at time 1 .*use_cache=False"
    ):
        assert_streaming_equals_batch(gpt2(use_cache=False), ids())


def test_chunks_that_a_model_does_not_take_are_found_and_can_be_left_out():
    model = MambaForCausalLM(MambaConfig(hidden_size=16, num_hidden_layers=1, **SMALL))
    insert(model, "backbone.layers.*", lambda block: FIR(16))
    with pytest.raises(
        AssertionError, match=r"in chunks of \[2, 2, .* is 'backbone.layers.0.mixer' \(MambaMixer\)"
    ):
        assert_streaming_equals_batch(model.double(), ids())
    assert_streaming_equals_batch(model, ids(), chunkings=[[1] * 12, [8, 1, 1, 1, 1]])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [1, 2])
def test_dtypes_and_rows(dtype, rows):
    model = behind(nn.Sequential(FIR(WIDTH, 5, init="lowpass"), Multirate(WIDTH))).to(dtype)
    assert_streaming_equals_batch(model, example(dtype)[:rows])


class Widens(nn.Module):
    """Half precision, rounded otherwise for single samples, and widened at the end, as HuggingFace's Mamba does."""

    def __init__(self):
        super().__init__()
        self.layer = FIR(WIDTH, 3, init="lowpass")

    def forward(self, x):
        return self.layer(x).float() * (1 + 2**-9 * (x.shape[1] == 1))


def test_rounding_is_that_of_what_a_model_computes_in():
    assert_streaming_equals_batch(Widens().bfloat16(), example(torch.bfloat16))
    with pytest.raises(AssertionError, match=r"the model itself \(Widens\)"):
        assert_streaming_equals_batch(Widens(), example(torch.float32))


def test_the_model_is_left_as_it_was():
    model = Convolves(remembers=True).train()
    model.past = before = draw(2, WIDTH, 3).double()
    keys = [set(vars(module)) for module in model.modules()]
    with pytest.raises(AssertionError, match="'conv'"):
        assert_streaming_equals_batch(Convolves(), example())
    assert_streaming_equals_batch(model, example())
    assert model.past is before
    assert model.training
    assert [set(vars(module)) for module in model.modules()] == keys
    assert not any(module._forward_hooks for module in model.modules())


def test_a_cache_is_that_of_one_signal():
    model, cache = Attends(), []
    with pytest.raises(AssertionError, match="differs from that of the whole"):
        assert_streaming_equals_batch(model, example(), start=lambda: partial(model, past=cache))
    with pytest.raises(TypeError, match="start must return a function of a chunk, got Tensor"):
        assert_streaming_equals_batch(model, example(), start=lambda: model(example())["y"])


class Draws(nn.Module):
    def forward(self, x):
        return x + torch.randn_like(x)


def test_what_is_refused():
    with pytest.raises(ValueError, match="expected a model that repeats itself"):
        assert_streaming_equals_batch(behind(Draws()), example())
    with pytest.raises(ValueError, match="looks ahead by 6 samples and cannot stream"):
        assert_streaming_equals_batch(behind(Multirate(WIDTH, causal=False)), example())
    with pytest.raises(TypeError, match=r"must be a module, or have step\(x, state\), got function"):
        assert_streaming_equals_batch(lambda x: x, example())
    with pytest.raises(ValueError, match="example must be finite"):
        assert_streaming_equals_batch(behind(FIR(WIDTH)), example() * torch.nan)
    for lengths in ([], [[12]], [[25, -1]], [12, 12], [[12, 12.0]], -1):
        with pytest.raises(ValueError, match="chunkings must be"):
            assert_streaming_equals_batch(behind(FIR(WIDTH)), example(), chunkings=lengths)
    for number in ("3", 2.0, True):
        with pytest.raises(TypeError, match="chunkings must be an int, got"):
            assert_streaming_equals_batch(behind(FIR(WIDTH)), example(), chunkings=number)


class Short(nn.Module):
    def forward(self, x):
        if x.shape[1] < 2:
            raise IndexError("too short")
        return x


def test_a_chunk_that_fails_is_named():
    with pytest.raises(
        AssertionError, match=r"chunk 0 of lengths \[1, 1, .* fails, 1 samples long: IndexError: too"
    ):
        assert_streaming_equals_batch(behind(Short()), example())


class Optimizes(nn.Module):
    """Has a `step` of another kind."""

    def __init__(self):
        super().__init__()
        self.layer = FIR(WIDTH, 3, init="lowpass", dtype=torch.float64)

    def step(self):
        raise NotImplementedError

    def forward(self, x):
        return self.layer(x)


def test_a_module_with_a_step_of_another_kind_is_a_model_by_start():
    model = Optimizes()
    assert_streaming_equals_batch(model, example(), start=lambda: model)


@pytest.mark.slow
def test_a_compiled_model():
    model = torch.compile(behind(FIR(WIDTH, 3, init="lowpass")), backend="eager")
    assert_streaming_equals_batch(model, example(), chunkings=[[12, 12]])
    with pytest.raises(AssertionError, match=r"'_orig_mod\.conv'"):
        assert_streaming_equals_batch(
            torch.compile(Convolves(), backend="eager"), example(), chunkings=[[12, 12]]
        )
