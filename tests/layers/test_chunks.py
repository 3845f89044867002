"""Every layer runs in chunks as it runs at once; each check has a planted bug."""

import pytest
import torch

import dsptorch
from tests.layers.broken import broken
from tests.layers.table import CAUSAL, CENTRED, LAYERS, build, signal
from tests.strategies import chunkings
from tests.tolerances import assert_close, assert_same

each = pytest.mark.parametrize("name", LAYERS)
each_causal = pytest.mark.parametrize("name", CAUSAL)
each_centred = pytest.mark.parametrize("name", CENTRED)


def run(layer, chunks, state=None):
    outputs = []
    for chunk in chunks:
        y, state = layer.step(chunk, state)
        outputs.append(y)
    return torch.cat(outputs, 1), state


def leaves(state):
    return torch.utils._pytree.tree_leaves(state)


def check_stream(layer, seed=0):
    """Values, gradients and final state over random chunks, empty ones among them, and one by one."""
    x = signal().requires_grad_()
    generator = torch.Generator().manual_seed(seed)
    whole = layer(x)
    v = signal(seed=9)
    parameters = [x, *layer.parameters()]
    expected = torch.autograd.grad((whole * v).sum(), parameters, allow_unused=True, materialize_grads=True)
    _, final = layer.step(x)
    for lengths in (
        chunkings(x.shape[1], generator),
        chunkings(x.shape[1], generator),
        [1] * x.shape[1],
        [0, 19, 0],
    ):
        y, state = run(layer, x.split(lengths, 1))
        assert_close(y, whole)
        for a, b in zip(leaves(state), leaves(final), strict=True):
            assert_close(a, b)
        grads = torch.autograd.grad((y * v).sum(), parameters, allow_unused=True, materialize_grads=True)
        for a, b in zip(grads, expected, strict=True):
            assert_close(a, b)


@each_causal
def test_streams_as_it_runs(name):
    check_stream(build(name))


def test_a_layer_without_a_memory_is_caught():
    with pytest.raises(AssertionError):
        check_stream(broken())


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


def check_ragged(layer):
    """Rows that stand at different positions, each as if it were alone."""
    x, y = signal(3, 9), []
    states = [layer.step(x[i : i + 1, : 2 * i + i % 2])[1] for i in range(3)]
    state = torch.utils._pytree.tree_map(lambda *parts: torch.cat(parts), *states)
    kept = [leaf.clone() for leaf in leaves(state)]
    more = signal(3, 7, seed=5)
    y, _ = layer.step(more, state)
    for i in range(3):
        seen = x[i : i + 1, : 2 * i + i % 2]
        assert_close(y[i : i + 1], layer(torch.cat([seen, more[i : i + 1]], 1))[:, seen.shape[1] :])
    for leaf, before in zip(leaves(state), kept, strict=True):
        assert_same(leaf, before)


@each_causal
def test_rows_at_different_positions(name):
    check_ragged(build(name))


def test_positions_taken_from_the_first_row_are_caught():
    layer = build("LFORouting")
    process = type(layer).process

    class OneClock(dsptorch.LFORouting):
        def process(self, x, state):
            if state is not None:
                state = state._replace(position=state.position[:1].expand_as(state.position))
            return process(self, x, state)

    check_ragged(layer)
    layer.__class__ = OneClock
    with pytest.raises(AssertionError):
        check_ragged(layer)


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
