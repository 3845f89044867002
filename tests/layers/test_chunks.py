"""Every layer runs in chunks as it runs at once; each check has a planted bug."""

import pytest
import torch

import dsptorch
from dsptorch.testing import assert_streaming_equals_batch
from tests.layers.broken import broken
from tests.layers.table import CAUSAL, CENTRED, LAYERS, build, signal
from tests.tolerances import assert_same

each = pytest.mark.parametrize("name", LAYERS)
each_causal = pytest.mark.parametrize("name", CAUSAL)
each_centred = pytest.mark.parametrize("name", CENTRED)


def leaves(state):
    return torch.utils._pytree.tree_leaves(state)


@each_causal
def test_streams_as_it_runs(name):
    """Values, gradients, last state, rows at different positions; no chunk and no state is written into."""
    assert_streaming_equals_batch(build(name), signal(3))


def test_a_layer_without_a_memory_is_caught():
    with pytest.raises(AssertionError, match="in chunks of"):
        assert_streaming_equals_batch(broken(), signal())


@each_causal
def test_state_is_tensors_with_a_row_for_each_row(name):
    layer = build(name)
    _, state = layer.step(signal(3, 5))
    assert isinstance(state, tuple)
    assert hasattr(state, "_fields")
    assert state.position.dtype == torch.int64
    assert torch.equal(state.position, torch.tensor([5, 5, 5]))
    for leaf in leaves(state):
        assert isinstance(leaf, torch.Tensor)
        assert leaf.shape[0] == 3


def test_positions_taken_from_the_first_row_are_caught():
    layer = build("LFORouting")
    process = type(layer).process

    class OneClock(dsptorch.LFORouting):
        def process(self, x, state, segments=None):
            if state is not None:
                state = state._replace(position=state.position[:1].expand_as(state.position))
            return process(self, x, state)

    layer.__class__ = OneClock
    with pytest.raises(AssertionError, match="rows at the positions"):
        assert_streaming_equals_batch(layer, signal())


def check_pure(layer):
    x = signal()
    given = x.clone()
    y, state = layer.step(x)
    kept = [leaf.clone() for leaf in leaves(state)]
    first, _ = layer.step(x, state)
    again, _ = layer.step(x, state)
    assert_same(first, again)
    assert_same(x, given)
    for leaf, before in zip(leaves(state), kept, strict=True):
        assert_same(leaf, before)
    y.detach().zero_()
    assert_same(x, given)


@each_causal
def test_step_changes_neither_chunk_nor_state(name):
    check_pure(build(name))


def test_an_output_that_is_the_input_is_caught():
    with pytest.raises(AssertionError):
        check_pure(broken(lambda x: x))
    with pytest.raises(AssertionError):
        check_pure(broken(lambda x: x.add_(1)))


@each_centred
def test_refuses_to_stream_when_it_looks_ahead(name):
    layer = build(name)
    with pytest.raises(
        ValueError, match=rf"{type(layer).__name__} looks ahead by {layer.lookahead} samples.*causal=True"
    ):
        layer.step(signal())


@each_causal
def test_refuses_the_state_of_another_batch(name):
    layer = build(name)
    for batch in (1, 3):
        _, state = layer.step(signal(batch))
        with pytest.raises(ValueError, match=rf"chunk of 2 rows and a state of \({batch},\)"):
            layer.step(signal(2), state)
