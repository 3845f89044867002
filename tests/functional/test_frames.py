"""The frame kernel against its sums, in chunks and in packed rows; each check has its planted bugs."""

import pytest
import torch
from hypothesis import strategies as st

from dsptorch.functional import analysis, find_segments, synthesis
from dsptorch.functional.filtering import latest
from tests.strategies import chunk_lengths, fails, holds
from tests.tolerances import assert_close

FEW, MANY = 2, 9
"""Channels: up to eight are rows of one product of matrices, more multiply from the side."""


@st.composite
def cases(draw):
    """(signal, bands, bank, stride) of whole numbers: banks shorter and longer than the stride, and no signal."""
    bands, numtaps, stride = draw(st.integers(1, 4)), draw(st.integers(1, 9)), draw(st.integers(1, 5))
    time, channels = draw(st.integers(0, 17)), draw(st.sampled_from([FEW, MANY]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))

    def whole(*shape):
        return torch.randint(-4, 5, shape, generator=generator).double()

    return whole(2, time, channels), whole(2, time, bands * channels), whole(bands, numtaps), stride


def by_sums(x, v, bank, stride):
    """Analysis of x and synthesis of v, one multiplication at a time."""
    bands, numtaps = bank.shape
    frames = -(-x.shape[1] // stride)
    analysed = x.new_zeros(x.shape[0], frames, bands, x.shape[2])
    synthesised = x.new_zeros(x.shape[0], v.shape[1] * stride, x.shape[2])
    for k in range(bands):
        for m in range(numtaps):
            for n in range(frames):
                if stride * n >= m:
                    analysed[:, n, k] += bank[k, m] * x[:, stride * n - m]
            for n in range(v.shape[1]):
                if stride * n + m < synthesised.shape[1]:
                    synthesised[:, stride * n + m] += bank[k, m] * v.unflatten(2, (bands, -1))[:, n, k]
    return analysed.flatten(2), synthesised


def check_sums(case, run=analysis, back=synthesis):
    x, v, bank, stride = case
    analysed, synthesised = by_sums(*case)
    assert_close(run(x, bank, stride), analysed)
    assert_close(back(v, bank, stride), synthesised)


def test_is_the_sums():
    holds(check_sums, cases())


@pytest.mark.parametrize(
    "broken",
    [
        {"run": lambda x, bank, stride: analysis(x, bank.flip(1), stride)},
        {"run": lambda x, bank, stride: analysis(x, bank, stride)[:, : x.shape[1] // stride]},
        {"run": lambda x, bank, stride: analysis(x.roll(-1, 1), bank, stride)},
        {"run": lambda x, bank, stride: analysis(x, bank.flip(0), stride)},
        {"back": lambda v, bank, stride: synthesis(v, bank.flip(1), stride)},
        {"back": lambda v, bank, stride: synthesis(v, bank[:, :stride], stride)},
    ],
    ids=["taps reversed", "floor", "looks ahead", "bands reversed", "synthesis reversed", "no overlap"],
)
def test_the_sums_catch(broken):
    fails(lambda case: check_sums(case, **broken), cases())


def in_chunks(run, x, lengths, kept, period, **more):
    """The outputs of each chunk."""
    history, time, outputs = x.new_zeros(x.shape[0], kept, x.shape[2]), 0, []
    for chunk in x.split(lengths, 1):
        seen = torch.cat([history, chunk], 1)
        given = {name: value[:, time : time + chunk.shape[1]] for name, value in more.items()}
        outputs.append(run(seen, history=kept, phase=time % period, **given))
        history, time = latest(seen, kept), time + chunk.shape[1]
    return torch.cat(outputs, 1)


def check_chunks(case, lengths, run=analysis):
    x, v, bank, stride = case
    numtaps = bank.shape[1]
    pieces = in_chunks(lambda seen, **at: run(seen, bank, stride, **at), x, lengths, numtaps - 1, stride)
    assert_close(pieces, analysis(x, bank, stride))

    def back(seen, phase, **at):
        return synthesis(seen, bank, stride, **at)

    assert_close(in_chunks(back, v, lengths, -(-numtaps // stride) - 1, 1), synthesis(v, bank, stride))


def with_lengths():
    return cases().flatmap(lambda case: st.tuples(st.just(case), chunk_lengths(case[0].shape[1])))


def test_any_chunking_gives_the_same_numbers():
    holds(lambda both: check_chunks(*both), with_lengths())


@pytest.mark.parametrize("lost", ["phase", "history"])
def test_chunks_catch(lost):
    def run(seen, *args, history, phase):
        if lost == "phase":
            return analysis(seen, *args, history=history)
        return analysis(seen[:, history:], *args, phase=phase)

    fails(lambda both: check_chunks(*both, run), with_lengths(), times=2)


def check_segments(case, run=analysis, back=synthesis):
    """Three segments on the grid and padding: each as if alone, whatever stands beside it."""
    _, _, bank, stride = case
    bands, channels = len(bank), case[0].shape[2]
    generator = torch.Generator().manual_seed(0)
    frames = torch.tensor([[0, 0, 0, 1, 2, 2, 2, 2, -1]])
    x = torch.randn(1, 9 * stride, channels, dtype=torch.float64, generator=generator)
    v = torch.randn(1, 9, bands * channels, dtype=torch.float64, generator=generator)
    samples = frames.repeat_interleave(stride, 1)
    for segment in range(3):
        for signal, ids, rate, function, alone in (
            (x, samples, 1 / stride, run, analysis),
            (v, frames, stride, back, synthesis),
        ):
            own = ids == segment
            others = torch.where(own.unsqueeze(2), signal, torch.nan)
            expected = alone(signal[own].unsqueeze(0), bank, stride)
            first = round(int(own.int().argmax()) * rate)
            got = function(others, bank, stride, position=find_segments(ids).position)
            assert_close(got[:, first : first + expected.shape[1]], expected)


def test_segments_equal_each_alone():
    holds(check_segments, cases())


def without_borders(function):
    def run(*args, position):
        return function(*args)

    return run


def test_segments_catch_what_reaches_across_a_border():
    fails(lambda case: check_segments(case, run=without_borders(analysis)), cases())
    fails(lambda case: check_segments(case, back=without_borders(synthesis)), cases())


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (analysis, {"stride": 0}, "stride must be at least 1, got 0"),
        (analysis, {"bank": torch.ones(3)}, r"bank must be of shape \(bands, numtaps\).*got \(3,\)"),
        (analysis, {"bank": torch.ones(0, 3)}, r"at least 1 of each, got \(0, 3\)"),
        (analysis, {"seen": torch.ones(2, 8)}, "seen must be of shape"),
        (analysis, {"history": 9}, "seen must be the history and the chunk after it.*got history=9"),
        (analysis, {"position": torch.zeros(2, 7, dtype=torch.int64)}, "position of shape"),
        (synthesis, {"bank": torch.ones(4, 3)}, "synthesis needs 4 bands of as many channels each, got 6"),
        (synthesis, {"stride": -1}, "stride must be at least 1"),
    ],
)
def test_refuses(function, arguments, message):
    given = {"seen": torch.ones(2, 8, 6), "bank": torch.ones(3, 5), "stride": 2, **arguments}
    with pytest.raises(ValueError, match=message):
        function(**given)


@pytest.mark.parametrize("channels", [FEW, MANY])
@pytest.mark.parametrize("segments", [False, True])
def test_no_rows_are_no_rows(channels, segments):
    bank, position = torch.ones(2, 3, requires_grad=True), torch.zeros(0, 4, dtype=torch.int64)
    given = {"position": position} if segments else {}
    y = analysis(torch.ones(0, 6, channels), bank, 2, history=2, **given)
    assert y.shape == (0, 2, 2 * channels)
    assert synthesis(y, bank, 2, **({"position": position[:, ::2]} if segments else {})).shape == (
        0,
        4,
        channels,
    )
    assert torch.autograd.grad(y.sum(), bank)[0].count_nonzero() == 0
