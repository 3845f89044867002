"""Chunk by chunk equals one shot: outputs, state, gradients; every row at its own position."""

import pytest
import torch
from hypothesis import strategies as st

from dsptorch import PeriodicFIR
from dsptorch.functional import State, Timeline, find_segments
from dsptorch.functional.filtering import filter_chunk, latest
from tests.oracles import runs
from tests.strategies import Leaves, chunk_lengths, expressions, fails, holds, signals


@st.composite
def cases(draw):
    """(expression, signal, chunk lengths)."""
    x = draw(signals(max_time=20))
    return draw(expressions(causal=True)), x, draw(chunk_lengths(x.shape[1]))


def run(step, f, chunks, state=None):
    outputs = []
    for chunk in chunks:
        y, state = step(f, chunk, state)
        outputs.append(y)
    return torch.cat(outputs, 1), state


def check_chunks(step, case):
    expression, x, lengths = case
    leaves, signal, given = Leaves(), x.clone().requires_grad_(), x.clone()
    f = expression.filter(leaves)
    y, state = run(step, f, signal.split(lengths, 1))
    assert torch.equal(y, f(x))
    assert torch.equal(state.position, torch.full((x.shape[0],), x.shape[1]))
    assert state.position.dtype == torch.int64
    rest = torch.cat([x.new_zeros(x.shape[0], f.memory, x.shape[2]), x], 1)
    assert torch.equal(state.memory, rest[:, rest.shape[1] - f.memory :])
    assert torch.equal(signal, given)
    v = torch.arange(1.0, x.numel() + 1, dtype=torch.float64).reshape(x.shape) % 5 - 2
    whole = f(signal)
    if whole.requires_grad:
        grads = [
            torch.autograd.grad((out * v).sum(), [signal, *leaves], allow_unused=True, materialize_grads=True)
            for out in (y, whole)
        ]
        for chunked, one_shot in zip(*grads, strict=True):
            assert torch.equal(chunked, one_shot)


def test_chunks_equal_one_shot():
    holds(lambda case: check_chunks(PeriodicFIR.step, case), cases(), times=2)


def _forgets_position(f, x, state):
    y, after = f.step(
        x, state if state is None else state._replace(position=torch.zeros_like(state.position))
    )
    return y, after._replace(position=after.position if state is None else state.position + x.shape[1])


def _forgets_history(f, x, state):
    return f.step(x, state if state is None else state._replace(memory=torch.zeros_like(state.memory)))


def _forgets_gradients(f, x, state):
    return f.step(x, state if state is None else state._replace(memory=state.memory.detach()))


def _writes_into_the_chunk(f, x, state):
    y, state = f.step(x, state)
    x.detach().numpy()[...] = 0  # behind the back of autograd, which would notice
    return y, state


@pytest.mark.parametrize(
    "broken", [_forgets_position, _forgets_history, _forgets_gradients, _writes_into_the_chunk]
)
def test_what_breaks_streaming_is_caught(broken):
    fails(lambda case: check_chunks(broken, case), cases())


def check_ragged(step, expression, x, splits):
    """Rows that have seen different lengths go on together in one batch."""
    f = expression.build()
    rows = [x[:1, : min(n, x.shape[1])] for n in splits]
    states = [step(f, row, None)[1] for row in rows]
    state = State(*(torch.cat([state[i] for state in states]) for i in range(3)))
    kept = [part.clone() for part in state[:3]]
    more = x[-1:].expand(len(rows), -1, -1)
    y, _ = step(f, more, state)
    for row, start in zip(y, rows, strict=True):
        whole = f(torch.cat([start[0], x[-1]]).unsqueeze(0))[0]
        assert torch.equal(row, whole[start.shape[1] :])
    for part, before in zip(state[:3], kept, strict=True):
        assert torch.equal(part, before)


def test_rows_at_different_positions():
    rows = (
        expressions(causal=True),
        signals(min_batch=1, max_time=10),
        st.lists(st.integers(0, 10), min_size=1, max_size=4),
    )
    holds(lambda *case: check_ragged(PeriodicFIR.step, *case), *rows)

    def in_step_with_the_first(f, x, state):
        if state is not None:
            state = state._replace(position=state.position[:1].expand_as(state.position))
        return f.step(x, state)

    fails(lambda *case: check_ragged(in_step_with_the_first, *case), *rows)


@pytest.mark.parametrize("factor", [2, 16, 17, 50])
def test_a_hold_of_any_length_runs_a_sample_at_a_time(factor):
    f, x = PeriodicFIR.hold(factor) @ PeriodicFIR.hold(3), torch.randn(1, 70, 1)
    y, _ = run(PeriodicFIR.step, f, x.split(1, 1))
    assert torch.equal(y, f(x))
    assert not torch.equal(run(_forgets_position, f, x.split(1, 1))[0], y)


def test_position_is_exact_when_it_is_large():
    f = PeriodicFIR.hold(3) @ PeriodicFIR.fir(torch.tensor([1.0, 2.0]))
    x = torch.arange(7.0).reshape(1, 7, 1)
    _, state = f.step(x)
    far = 3 * 10**15
    assert torch.equal(f.step(x, state._replace(position=state.position + far))[0], f.step(x, state)[0])
    with pytest.raises(AssertionError):
        assert torch.equal(
            f.step(x, state._replace(position=state.position + far + 1))[0], f.step(x, state)[0]
        )


def test_a_state_that_came_before_still_works():
    f = PeriodicFIR.fir(torch.tensor([1.0, 1.0, 1.0]))
    x = torch.randn(1, 6, 2)
    _, state = f.step(x[:, :3])
    first, _ = f.step(x[:, 3:], state)
    again, _ = f.step(x[:, 3:], state)
    assert torch.equal(first, again)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_keeps_the_dtype(dtype):
    f = PeriodicFIR.hold(2) @ PeriodicFIR.fir(torch.rand(3, 2))
    y, state = f.step(torch.randn(1, 5, 2).to(dtype))
    assert y.dtype == state.memory.dtype == dtype
    assert f.step(torch.randn(1, 5, 2).to(dtype), state)[0].dtype == dtype


def test_refuses_to_look_ahead():
    with pytest.raises(ValueError, match=r"looks ahead by 2 samples.*PeriodicFIR\.delay\(2\)"):
        PeriodicFIR.delay(-2).step(torch.ones(1, 3, 1))
    y, _ = (PeriodicFIR.delay(2) @ PeriodicFIR.delay(-2)).step(torch.ones(1, 3, 1))
    assert torch.equal(y, torch.ones(1, 3, 1))


@pytest.mark.parametrize(("batch", "width"), [(1, 2), (3, 2), (2, 1)])
def test_refuses_the_state_of_another_signal(batch, width):
    f = PeriodicFIR.fir(torch.ones(3))
    _, state = f.step(torch.ones(batch, 4, width))
    with pytest.raises(
        ValueError, match=r"state must have a history of shape \(2, 2, 2\).*got \(\d, 2, \d\)"
    ):
        f.step(torch.ones(2, 4, 2), state)


@pytest.mark.slow
def test_compiles_with_its_state():
    """Built within the graph, too."""
    torch._dynamo.reset()

    def step(x, taps, state):
        return PeriodicFIR.compose(PeriodicFIR.hold(3), PeriodicFIR.fir(taps)).step(x, state)

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    x, taps = torch.randn(2, 5, 3), torch.randn(4, 3)
    y, state = compiled(x, taps, None)
    again, after = compiled(x, taps, state)
    whole, _ = step(torch.cat([x, x], 1), taps, None)
    assert torch.allclose(torch.cat([y, again], 1), whole, atol=1e-6)
    assert torch.equal(after.position, torch.tensor([10, 10]))


# Several signals in a row


def check_segments(step, e, x, ids, lengths):
    """Each run of equal ids as if it were alone; the memory is of the last run."""
    f, state, outputs = e.build(), None, []
    for chunk, its in zip(x.split(lengths, 1), ids.split(lengths, 1), strict=True):
        y, state = step(f, chunk, state, its)
        outputs.append(y)
    y, kept = torch.cat(outputs, 1), torch.zeros(x.shape[0], f.memory, x.shape[2], dtype=x.dtype)
    for row, start, stop in runs(ids):
        assert torch.equal(y[row, start:stop], f(x[row : row + 1, start:stop])[0])
        kept[row] = latest(x[row : row + 1, start:stop], f.memory)[0]
        position = stop - start
        assert stop < x.shape[1] or state.position[row] == position
    assert torch.equal(state.memory, kept)


@st.composite
def packed(draw):
    """(expression, signal, ids, chunk lengths)."""
    x = draw(signals(min_time=1, max_time=12, min_batch=1))
    ids = draw(st.lists(st.integers(-1, 2), min_size=x[..., 0].numel(), max_size=x[..., 0].numel()))
    ids = torch.tensor(sorted(ids) if draw(st.booleans()) else ids).reshape(x.shape[:2])
    return draw(expressions(causal=True)), x, ids, draw(chunk_lengths(x.shape[1]))


def test_segments_in_chunks_equal_each_alone():
    holds(lambda case: check_segments(PeriodicFIR.step, *case), packed(), times=2)


@pytest.mark.parametrize(
    "broken",
    [
        lambda f, x, state, ids: f.step(x, state, 0 * ids),
        lambda f, x, state, ids: f.step(x, None, ids),
        lambda f, x, state, ids: f.step(x, state and state._replace(segment=state.segment + 1), ids),
        lambda f, x, state, ids: f.step(x, state and state._replace(position=state.position + 1), ids),
    ],
    ids=["no borders", "anew at every chunk", "anew at the border of a chunk", "one sample late"],
)
def test_wrong_segments_are_caught(broken):
    fails(lambda case: check_segments(broken, *case), packed(), times=2)


def test_weights_folded_before_are_the_same():
    f = PeriodicFIR.hold(3) @ PeriodicFIR.fir(torch.rand(2, 4, 2))
    x, weight = torch.randn(2, 7, 2), f.folded().weights[0]
    history = torch.randn(2, f.memory, 2)
    segments = find_segments(torch.tensor([[0] * 7, [0, 0, 1, 1, 1, 2, 2]]))
    for timeline in (Timeline(), Timeline(torch.tensor([5, 7])), Timeline(segments=segments)):
        one, other = (
            filter_chunk(f.plan, f.weights, x, history, timeline, folded) for folded in (None, weight)
        )
        assert torch.allclose(one[0], other[0], atol=1e-6)
        assert torch.equal(one[1], other[1])
        wrong, _ = filter_chunk(f.plan, f.weights, x, history, timeline, weight.roll(1, 0))
        assert not torch.allclose(wrong, one[0], atol=1e-6)


@pytest.mark.parametrize(("memory", "time"), [(0, 3), (2, 0), (2, 1), (2, 3)])
def test_what_is_remembered_is_no_view(memory, time):
    x = torch.arange(float(time)).reshape(1, time, 1)
    kept = latest(x, memory)
    assert (
        kept.flatten().tolist() == [0.0] * (memory - time) + list(range(max(0, time - memory), time))[:memory]
    )
    assert kept.untyped_storage().nbytes() == kept.numel() * 4
