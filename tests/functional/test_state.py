"""The state between chunks: positions, ids, the phase of rate changers, and what does not belong together."""

import pytest
import torch
from hypothesis import strategies as st

from dsptorch.functional import State
from dsptorch.functional.state import next_state, timeline_of
from tests.strategies import chunk_lengths, fails, holds


def run(chunks, ids, grid):
    """The state after every chunk, and its timeline."""
    state = None
    for x, its in zip(chunks, ids, strict=True):
        timeline = timeline_of(x, state, its, grid)
        state = next_state(x, state, timeline, (), grid)
        yield timeline, state


def check_phase(run, lengths, grid):
    time = 0
    chunks = torch.zeros(2, sum(lengths), 1).split(lengths, 1)
    for (timeline, state), length in zip(run(chunks, [None] * len(chunks), grid), lengths, strict=True):
        assert timeline.phase == (time % grid if grid > 1 else 0)
        time += length
        assert state.position.tolist() == [time] * 2
        assert state.position.dtype == state.segment.dtype == torch.int64
        assert getattr(state.phase, "shape", None) == (None if grid == 1 else (2, time % grid, 0))


def test_the_phase_is_a_shape():
    cases = chunk_lengths(20), st.integers(1, 7)
    holds(lambda *case: check_phase(run, *case), *cases)
    fails(lambda lengths, grid: check_phase(lambda *args: run(*args[:2], 1), lengths, grid), *cases)


def test_ids_go_on_where_the_last_chunk_ended():
    x = torch.zeros(1, 4, 1)
    ids = [torch.tensor([[1, 1, 2, 2]]), torch.tensor([[2, 2, 2, 3]]), None, torch.tensor([[3, 3, 3, 3]])]
    states = [state for _, state in run([x] * 4, ids, 1)]
    assert [state.position.item() for state in states] == [2, 1, 5, 9]
    assert [state.segment.item() for state in states] == [2, 3, 3, 3]


def test_ids_of_zeros_say_nothing():
    """As a mask of ones does; then nothing is masked. A change of id is not one signal."""
    x, zeros = torch.zeros(2, 4, 1), torch.zeros(2, 4, dtype=torch.int64)
    assert timeline_of(x, None, zeros).segments is None
    state = next_state(x, None, timeline_of(x, None, zeros + 1), ())
    assert timeline_of(x, state, zeros).segments.position.tolist() == [[0, 1, 2, 3]] * 2
    assert timeline_of(x, None, zeros + 1).segments is not None


def test_rows_out_of_phase_are_refused_by_name():
    x = torch.zeros(3, 2, 1)
    state = State(torch.tensor([4, 6, 8]), torch.zeros(3, dtype=torch.int64), (), torch.empty(3, 0, 0))
    assert timeline_of(x, state, None, 2).phase == 0
    with pytest.raises(
        ValueError, match=r"agree in position modulo 4.*got positions \[4, 6, 8\]; step them apart"
    ):
        timeline_of(x, state, None, 4)
    with pytest.raises(ValueError, match="has no phase"):  # the state of another layer
        timeline_of(x, State(torch.tensor([1, 1, 1]), state.segment), None, 3)
    assert timeline_of(x, State(torch.tensor([1, 2, 7]), state.segment), None, 1).phase == 0


@pytest.mark.parametrize(
    ("ids", "position", "grid", "message"),
    [
        (
            [[0] * 8, [0] * 6 + [1] * 2],
            0,
            4,
            r"multiple of 4 samples.*in row 1 that begins 2 after one; put padding before it",
        ),
        ([[0] * 2 + [1] * 3], 1, 2, r"multiple of 2 samples.*in row 0 that begins 1 after one"),
    ],
)
def test_segments_off_the_grid_are_refused_by_name(ids, position, grid, message):
    ids = torch.tensor(ids)
    x, rows = torch.zeros(*ids.shape, 1), len(ids)
    zeros = torch.zeros(rows, dtype=torch.int64)
    state = State(zeros + position, zeros, (), torch.empty(rows, position % grid, 0)) if position else None
    with pytest.raises(ValueError, match=message):
        timeline_of(x, state, ids, grid)
    assert timeline_of(x, state, ids, 1).segments is not None


@pytest.mark.parametrize("ids", [[[0, 0, -1, -1, 1], [-1, -1, -1, -1, 0]], [[-1, -1, -1, -1, 2], [3] * 5]])
def test_padding_may_begin_anywhere(ids):
    assert timeline_of(torch.zeros(2, 5, 1), None, torch.tensor(ids), 4).segments is not None


def test_padding_that_began_anywhere_goes_on():
    x = torch.zeros(1, 3, 1)
    ids = [torch.tensor(row) for row in ([[0, -1, -1]], [[-1, 1, 1]], [[1, 1, -1]])]
    timelines = [timeline for timeline, _ in run([x] * 3, ids, 2)]
    assert [timeline.phase for timeline in timelines] == [0, 1, 0]
    assert timelines[1].segments.position.tolist() == [[2, 0, 1]]
    with pytest.raises(ValueError, match=r"multiple of 2 .*in row 0 that begins 1 after one"):
        list(run([x] * 2, [ids[0], torch.tensor([[1, 1, 1]])], 2))


def test_a_segment_that_goes_on_is_on_the_grid():
    state = State(torch.tensor([6]), torch.tensor([1]), (), torch.empty(1, 2, 0))
    ids = torch.tensor([[1, 1, 2, 2]])
    assert timeline_of(torch.zeros(1, 4, 1), state, ids, 4).segments.position.tolist() == [[6, 7, 0, 1]]
    with pytest.raises(ValueError, match="in row 0 that begins 3 after one"):
        timeline_of(torch.zeros(1, 4, 1), state, torch.tensor([[1, 2, 2, 2]]), 4)
