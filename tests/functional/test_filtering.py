"""Chunk by chunk equals one shot: outputs, state, gradients; every row at its own position."""

import pytest
import torch
from hypothesis import strategies as st

from dsptorch import PeriodicFIR
from dsptorch.functional import FIRState, stream
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
    assert torch.equal(state.history, rest[:, rest.shape[1] - f.memory :])
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
    holds(lambda case: check_chunks(PeriodicFIR.step, case), cases(), times=3)


def _forgets_position(f, x, state):
    y, after = f.step(
        x, state if state is None else state._replace(position=torch.zeros_like(state.position))
    )
    return y, after._replace(position=after.position if state is None else state.position + x.shape[1])


def _forgets_history(f, x, state):
    return f.step(x, state if state is None else state._replace(history=torch.zeros_like(state.history)))


def _forgets_gradients(f, x, state):
    return f.step(x, state if state is None else state._replace(history=state.history.detach()))


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
    state = FIRState(*(torch.cat(parts) for parts in zip(*states, strict=True)))
    kept = [part.clone() for part in state]
    more = x[-1:].expand(len(rows), -1, -1)
    y, _ = step(f, more, state)
    for row, start in zip(y, rows, strict=True):
        whole = f(torch.cat([start[0], x[-1]]).unsqueeze(0))[0]
        assert torch.equal(row, whole[start.shape[1] :])
    for part, before in zip(state, kept, strict=True):
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
    assert y.dtype == state.history.dtype == dtype
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
    with pytest.raises(ValueError, match=r"state must have history of shape \(2, 2, 2\).*got \(\d, 2, \d\)"):
        f.step(torch.ones(2, 4, 2), state)


def test_compiles_with_its_state():
    torch._dynamo.reset()
    f = PeriodicFIR.hold(2)
    compiled = torch.compile(
        lambda x, state: stream.step(f.node, x, state), fullgraph=True, backend="aot_eager"
    )
    x = torch.randn(2, 5, 3)
    y, state = compiled(x, None)
    again, after = compiled(x, state)
    expected, _ = stream.step(f.node, torch.cat([x, x], 1), None)
    assert torch.equal(torch.cat([y, again], 1), expected)
    assert torch.equal(after.position, torch.tensor([10, 10]))
