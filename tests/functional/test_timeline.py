"""Where samples stand in their signals, at the rate of the input and of the output."""

from fractions import Fraction

import pytest
import torch
from hypothesis import strategies as st

from dsptorch.functional import Segments, Timeline, find_segments
from dsptorch.functional.timeline import check_segment_ids, outputs_before
from tests.oracles import runs
from tests.strategies import chunk_lengths, fails, holds

RATES = st.builds(Fraction, st.integers(1, 5), st.integers(1, 5))


@st.composite
def packed(draw, grid=1, max_blocks=6):
    """(ids, chunk lengths): segments that begin on the grid, and padding of any length before the next."""
    rows, blocks = draw(st.integers(1, 3)), draw(st.integers(1, max_blocks))
    ids = torch.tensor(draw(st.lists(st.integers(-1, 2), min_size=rows * blocks, max_size=rows * blocks)))
    ids = ids.reshape(rows, blocks).repeat_interleave(grid, 1)
    for row, start, stop in runs(ids):
        ids[row, draw(st.integers(start + 1, stop)) : stop] = -1
    return ids, draw(chunk_lengths(ids.shape[1]))


def in_chunks(ids, lengths, start=None, last=None):
    """The segments of each chunk; what joins them is the position and the last id."""
    for chunk in ids.split(lengths, 1):
        found = find_segments(chunk, start, last)
        yield found
        start, last = found.next_position, found.last


def check_runs(find, ids, lengths):
    """Against a loop over the whole rows."""
    position = torch.zeros_like(ids)
    for row, start, stop in runs(ids):
        position[row, start:stop] = torch.arange(stop - start)
    end = 0
    for found, length in zip(find(ids, lengths), lengths, strict=True):
        begin, end = end, end + length
        assert torch.equal(found.position, position[:, begin:end])
        assert torch.equal(found.padding, ids[:, begin:end] < 0)
        following = torch.zeros_like(found.position)
        for row, start, stop in runs(ids[:, begin:end]):
            following[row, start:stop] = torch.arange(stop - start - 1, -1, -1)
        assert torch.equal(found.following, following)
        if end:
            assert torch.equal(found.next_position, position[:, end - 1] + 1)
            assert torch.equal(found.last, ids[:, end - 1])


def test_finds_the_runs_of_equal_ids():
    holds(lambda case: check_runs(in_chunks, *case), packed(), times=3)


@pytest.mark.parametrize(
    "broken",
    [
        lambda ids, lengths: (find_segments(chunk) for chunk in ids.split(lengths, 1)),
        lambda ids, lengths: in_chunks(ids.clamp(min=0), lengths),
        lambda ids, lengths: in_chunks(0 * ids, lengths),
        lambda ids, lengths: (s._replace(following=s.following + 1) for s in in_chunks(ids, lengths)),
        lambda ids, lengths: in_chunks(ids, lengths, torch.ones_like(ids[:, 0]), ids[:, 0]),
    ],
    ids=["each chunk anew", "padding is a signal", "no ids", "one too many", "begins late"],
)
def test_the_loop_catches(broken):
    fails(lambda case: check_runs(broken, *case), packed(), times=3)


def test_rows_of_no_samples():
    found = find_segments(torch.zeros(2, 0, dtype=torch.int64), torch.tensor([3, 4]), torch.tensor([0, 1]))
    assert found.position.shape == found.following.shape == (2, 0)
    assert found.next_position.tolist() == [3, 4]
    assert found.last.tolist() == [0, 1]
    assert find_segments(torch.zeros(0, 3, dtype=torch.int64)).last.shape == (0,)


# Another rate


def test_outputs_before_is_the_law_of_lengths():
    def check(law, time, rate):
        """Output n stands at the time n / rate, and is out when that sample is in."""
        assert law(time, rate) == sum(1 for n in range(5 * time + 1) if n / rate < time)
        assert law(torch.tensor([time]), rate).tolist() == [law(time, rate)]

    holds(lambda *case: check(outputs_before, *case), st.integers(0, 40), RATES)
    fails(
        lambda *case: check(lambda time, rate: time * rate.numerator // rate.denominator, *case),
        st.integers(0, 40),
        RATES,
    )


def check_resampled(resample, case, rate):
    """Chunk by chunk: an output stands in the run of the sample that it goes with, and counts from its first."""
    ids, lengths = case
    outputs = [n for n in range(5 * ids.shape[1]) if n / rate < ids.shape[1]]
    begin, end = 0, 0
    for found, length in zip(in_chunks(ids, lengths), lengths, strict=True):
        begin, end = end, end + length
        made = [n for n in outputs if begin <= n / rate < end]
        before = sum(n / rate < begin for n in outputs)
        grid = 2 * rate.denominator
        timeline = resample(Timeline(torch.full(ids.shape[:1], begin), begin % grid, found), rate)
        start, phase, segments = timeline
        assert start.tolist() == [before] * len(ids)
        assert (phase - before) % (2 * rate.numerator) == 0
        assert segments.position.shape == segments.following.shape == (len(ids), len(made))
        for row, first, stop in runs(ids):
            run = [n for n in outputs if first <= n / rate < stop]
            padding = ids[row, first] < 0
            for k, n in enumerate(made):
                if n in run:
                    assert segments.padding[row, k] == padding
                if n in run and not padding:
                    assert segments.position[row, k] == n - run[0]
                    assert segments.following[row, k] == sum(m > n for m in made if m in run)
            if first < end <= stop and not padding:
                assert segments.next_position[row] == sum(n / rate < end for n in run)


def on_the_grid(rate):
    return st.tuples(packed(rate.denominator), st.just(rate))


def test_another_rate_is_the_definition():
    cases = RATES.flatmap(on_the_grid)
    holds(lambda case: check_resampled(Timeline.resampled, *case), cases, times=2)


def _without_following(timeline, rate):
    result = timeline.resampled(rate)
    return result._replace(segments=result.segments._replace(following=result.segments.following * 0))


@pytest.mark.parametrize(
    "broken",
    [
        lambda timeline, rate: timeline._replace(phase=0).resampled(rate),
        lambda timeline, rate: timeline.resampled(1 / rate),
        lambda timeline, rate: timeline,
        _without_following,
    ],
    ids=["every chunk at phase 0", "the inverse rate", "the same rate", "nothing follows"],
)
def test_another_rate_catches(broken):
    fails(lambda case: check_resampled(broken, *case), RATES.flatmap(on_the_grid), times=2)


def test_rates_follow_each_other():
    """Down and up again, and twice down, are what both do together."""
    timeline = Timeline(
        torch.tensor([12, 24]), 12, find_segments(torch.tensor([[0] * 12, [1] * 6 + [2] * 6]))
    )
    for first, then in [
        (Fraction(1, 2), Fraction(1, 3)),
        (Fraction(3), Fraction(2)),
        (Fraction(1, 3), Fraction(3)),
    ]:
        twice, once = timeline.resampled(first).resampled(then), timeline.resampled(first * then)
        assert twice.phase == once.phase
        assert torch.equal(twice.start, once.start)
        for one, other in zip(twice.segments, once.segments, strict=True):
            assert torch.equal(one, other)
    assert timeline.resampled(Fraction(1)) is timeline
    assert Timeline().resampled(Fraction(1, 2)) == Timeline()


def test_positions_and_the_next():
    x = torch.empty(2, 3, 1)
    assert Timeline().positions(x).tolist() == [[0, 1, 2]]
    assert Timeline().next(x).tolist() == [3, 3]
    far = Timeline(torch.tensor([10**15, 4]))
    assert far.positions(x).tolist() == [[10**15, 10**15 + 1, 10**15 + 2], [4, 5, 6]]
    assert far.next(x).tolist() == [10**15 + 3, 7]
    packed = Timeline(torch.tensor([5, 5]), 0, find_segments(torch.tensor([[0, 0, 1], [0, 1, 1]])))
    assert packed.positions(x).tolist() == [[0, 1, 0], [0, 0, 1]]
    assert packed.next(x).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("ids", "kind", "message"),
    [
        (torch.zeros(2, 4), TypeError, r"tensor of integers, one a sample, got.*float32.*mask\.long\(\) - 1"),
        (torch.zeros(2, 4, dtype=torch.bool), TypeError, r"-1 for padding, got torch\.bool"),
        ([[0, 0]], TypeError, r"tensor of integers.*got \[\[0, 0\]\]"),
        (torch.zeros(2, 3, dtype=torch.int64), ValueError, r"\(batch, time\) = \(2, 4\), got \(2, 3\)"),
    ],
)
def test_refuses(ids, kind, message):
    with pytest.raises(kind, match=message):
        check_segment_ids(ids, torch.zeros(2, 4, 1))


@pytest.mark.parametrize("dtype", [torch.int8, torch.int32, torch.uint8])
def test_takes_any_integers(dtype):
    ids = check_segment_ids(torch.ones(2, 4, dtype=dtype), torch.zeros(2, 4, 1))
    assert ids.dtype == torch.int64
    assert isinstance(find_segments(ids), Segments)
