"""Running in chunks, beyond the contract: what a state is made of, refusals, and bugs that the contract must catch."""

import pytest
import torch

import dsptorch
from dsptorch.testing import assert_no_mutation, assert_streaming_equals_batch
from tests.layers.broken import broken
from tests.layers.table import CENTRED, STREAMING, WITHOUT_STEP, build, signal


def test_a_state_is_named_tensors_with_a_row_for_each_row():
    for name in STREAMING:
        _, state = build(name).step(signal(3, 5))
        assert isinstance(state, tuple), name
        assert hasattr(state, "_fields"), name
        for leaf in torch.utils._pytree.tree_leaves(state):
            assert isinstance(leaf, torch.Tensor), name
            assert leaf.shape[0] == 3, name


def test_refuses_to_stream_when_it_looks_ahead():
    for name in CENTRED:
        layer = build(name)
        says = rf"{type(layer).__name__} looks ahead by {layer.lookahead} samples.*causal=True"
        with pytest.raises(ValueError, match=says):
            layer.step(signal())


def test_refuses_to_stream_around_a_module_without_step():
    for name in WITHOUT_STEP:
        with pytest.raises(ValueError, match="holds a module without step"):
            build(name).step(signal())


def test_refuses_the_state_of_another_batch():
    for name in STREAMING:
        layer = build(name)
        for batch in (1, 3):
            _, state = layer.step(signal(batch))
            with pytest.raises(ValueError, match=rf"chunk of 2 rows and a state of \({batch},\)"):
                layer.step(signal(2), state)


def test_refuses_what_is_no_state():
    """The whole result of a step, say."""
    for name in STREAMING:
        layer = build(name)
        x = signal(width=layer.d_model)
        with pytest.raises(TypeError, match=r"a state of type tuple; step returns \(output, state\)"):
            layer.step(x, layer.step(x))


def test_a_layer_without_a_memory_is_caught():
    with pytest.raises(AssertionError, match="in chunks of"):
        assert_streaming_equals_batch(broken(), signal())


def test_positions_taken_from_the_first_row_are_caught():
    layer = build("LFORouting")
    process = type(layer).process

    class OneClock(dsptorch.LFORouting):
        def process(self, x, memory, timeline):
            if timeline.start is not None:
                timeline = timeline._replace(start=timeline.start[:1].expand_as(timeline.start))
            return process(self, x, memory, timeline)

    layer.__class__ = OneClock
    with pytest.raises(AssertionError, match="rows at the positions"):
        assert_streaming_equals_batch(layer, signal())


def test_a_layer_that_changes_its_input_is_caught():
    assert_no_mutation(lambda x: broken(lambda x: x + 1).step(x)[0], signal(), views=False)
    with pytest.raises(AssertionError):
        assert_no_mutation(lambda x: broken(lambda x: x.add_(1)).step(x)[0], signal(), views=False)
