"""Changes of rate against scipy, in chunks and in packed rows; each check has its planted bugs."""

import numpy as np
import pytest
import torch
from dsptorch.functional.segments import find_segments
from torch.autograd.gradcheck import gradcheck

from dsptorch.functional.resample import check_grid, outputs_due, resample, resample_history
from tests.functional.resample_cases import KINDS, double
from tests.oracles import upfirdn
from tests.tolerances import assert_close


def random_cases(number):
    """(x, taps, up, down): all small rates, reducible ones too, empty signals, taps shared or not, few or many."""
    random = np.random.default_rng(0)
    for i in range(number):
        up, down, channels = (int(random.integers(1, high)) for high in (7, 8, 4))
        numtaps = int(random.integers(1, 21) if i % 8 else random.integers(129, 150))
        batch, time = int(random.integers(0, 3)), int(random.integers(0, 30))
        x = torch.from_numpy(random.standard_normal((batch, time, channels)))
        yield x, torch.from_numpy(random.standard_normal((numtaps, random.choice([1, channels])))), up, down


def check_equals_scipy(run, number=60):
    for x, taps, up, down in random_cases(number):
        y, expected = run(x, taps, up, down), upfirdn(x, taps, up, down)
        assert y.shape == expected.shape
        assert torch.allclose(y, expected, rtol=0, atol=1e-10)


def test_a_thousand_resamplers_equal_scipy():
    check_equals_scipy(resample, 1000)


@pytest.mark.parametrize(
    "broken",
    [
        lambda x, taps, up, down: resample(x, taps, up, down)[:, : x.shape[1] * up // down],
        lambda x, taps, up, down: resample(x.roll(-1, 1), taps, up, down),
        lambda x, taps, up, down: resample(x, taps.roll(1, 0), up, down),
        lambda x, taps, up, down: resample(x, taps[:-1] if len(taps) > 1 else 0 * taps, up, down),
        lambda x, taps, up, down: resample(x, taps[:, :1], up, down),
        lambda x, taps, up, down: (
            resample(x, taps, 1, 1)[:, ::down] if up == 1 else resample(x, taps, down, up)
        ),
    ],
    ids=["floor", "looks ahead", "next phase", "a tap less", "one channel's taps", "rates exchanged"],
)
def test_scipy_catches(broken):
    with pytest.raises(AssertionError):
        check_equals_scipy(broken)


def streamed(x, taps, up, down, lengths, keep=resample_history):
    """The outputs of each chunk; the state is the history alone."""
    history, outputs = x[:, :0], []
    for chunk in x.split(lengths, 1):
        seen, before = torch.cat([history, chunk], 1), history.shape[1]
        outputs.append(resample(seen, taps, up, down, history=before))
        history = keep(seen, taps.shape[0], up, down, history=before)
    return outputs


def check_chunks(keep=resample_history, due=outputs_due):
    random = np.random.default_rng(1)
    for x, taps, up, down in random_cases(120):
        lengths = []
        while sum(lengths) < x.shape[1]:
            lengths.append(min(int(random.integers(0, 6)), x.shape[1] - sum(lengths)))
        outputs, time = streamed(x, taps, up, down, lengths, keep), 0
        for y, length in zip(outputs, lengths, strict=True):
            assert y.shape[1] == due(time, length, up, down)
            time += length
            # The law of lengths, at every prefix.
            assert sum(due(t, 1, up, down) for t in range(time)) == -(-time * up // down)
        if lengths:
            assert_close(torch.cat(outputs, 1), resample(x, taps, up, down))


def test_any_chunking_gives_the_same_numbers():
    check_chunks()


def test_chunks_catch_floor():
    with pytest.raises(AssertionError):
        check_chunks(due=lambda start, time, up, down: (start + time) * up // down - start * up // down)


def test_chunks_catch_a_lost_phase():
    def keep(seen, numtaps, up, down, *, history):
        return resample_history(seen, numtaps, up, 1)

    with pytest.raises(AssertionError):
        check_chunks(keep)


def check_shift(run):
    for x, taps, up, down in random_cases(60):
        moved = run(torch.nn.functional.pad(x, (0, 0, down, 0)), taps, up, down)
        assert_close(moved, torch.nn.functional.pad(run(x, taps, up, down), (0, 0, up, 0)))


def test_a_shift_by_the_period_shifts_the_output():
    check_shift(resample)


def test_a_shift_catches_a_phase_that_counts_from_the_end():
    with pytest.raises(AssertionError):
        check_shift(lambda x, taps, up, down: resample(x.flip(1), taps, up, down).flip(1))


@pytest.mark.parametrize("kind", KINDS)
def test_empty_batches_and_signals(kind):
    run, (x, taps) = double(kind)
    for empty in (x[:0], x[:, :0]):
        grad_x, grad_taps = torch.autograd.grad(run(empty, taps).sum(), (x, taps))
        assert not grad_x.any()
        assert not grad_taps.any()


def check_segments(run):
    """Segments of one, two and three periods, one with padding: each as if alone, whatever stands beside it."""
    for kind, (up, down, *_) in KINDS.items():
        _, (x, taps) = double(kind, 8 * down)
        lengths = [down, 2 * down, max(1, down - 1), 3 * down]
        starts = [0, down, 3 * down, 5 * down]
        ids = torch.full(x.shape[:2], -1)
        for i, (start, length) in enumerate(zip(starts, lengths, strict=True)):
            ids[:, start : start + length] = i
        position = find_segments(ids).position
        for i, (start, length) in enumerate(zip(starts, lengths, strict=True)):
            others = torch.where((ids == i).unsqueeze(-1), x, torch.nan)
            alone = resample(x[:, start : start + length], taps, up, down)
            n = start * up // down
            assert_close(run(others, taps, up, down, position=position)[:, n : n + alone.shape[1]], alone)


def _without_borders(*args, position):
    return resample(*args)


def test_segments_on_the_grid_equal_each_alone():
    check_segments(resample)


@pytest.mark.parametrize(
    "broken",
    [
        _without_borders,
        lambda *args, position: resample(*args, position=position + 1),
        lambda *args, position: resample(*args, position=position.roll(1, 1)),
    ],
    ids=["no borders", "one sample too many", "borders late"],
)
def test_segments_catch(broken):
    with pytest.raises(AssertionError):
        check_segments(broken)


def test_segments_in_chunks():
    taps, ids = torch.randn(7, 2, dtype=torch.float64), torch.tensor([[0] * 4 + [1] * 6 + [2] * 8])
    x, segments = torch.randn(1, 18, 2, dtype=torch.float64), find_segments(ids)
    whole, history, outputs = resample(x, taps, 3, 2, position=segments.position), x[:, :0], []
    for chunk, position in zip(
        x.split([3, 4, 1, 1, 9], 1), segments.position.split([3, 4, 1, 1, 9], 1), strict=True
    ):
        seen, before = torch.cat([history, chunk], 1), history.shape[1]
        outputs.append(resample(seen, taps, 3, 2, history=before, position=position))
        history = resample_history(seen, 7, 3, 2, history=before)
    assert_close(torch.cat(outputs, 1), whole)


def test_gradients_through_segments():
    _, (x, taps) = double("rational", 8)
    position = find_segments(torch.tensor([[0, 0, 1, 1, 1, 1, 2, 2]] * 2)).position
    assert gradcheck(lambda x, taps: resample(x, taps, 3, 2, position=position), (x, taps))


def test_check_grid_names_the_segment_and_the_cure():
    check_grid(find_segments(torch.tensor([[0, 0, -1, -1, 1], [-1, -1, -1, -1, 0]])), 4)
    check_grid(find_segments(torch.tensor([[-1, -1, 0]])), 4, start=2)
    with pytest.raises(ValueError, match=r"multiple of 4 .* row 1 that begins at 6"):
        check_grid(find_segments(torch.tensor([[0] * 8, [0] * 6 + [1] * 2])), 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"up": 0}, "up and down must be integers >= 1, got up=0"),
        ({"history": 4}, "history must be 0, or 2 to 3 samples"),
        ({"history": 1}, "history must be 0, or 2 to 3 samples"),
        ({"taps": torch.ones(7, 3)}, r"taps must be of shape \(numtaps,\) or \(numtaps, 2 or 1\)"),
        ({"taps": torch.ones(0)}, "numtaps >= 1"),
        ({"seen": torch.ones(2, 8)}, "seen must be of shape"),
        ({"position": torch.zeros(2, 7, dtype=torch.int64)}, "position of shape"),
        ({"seen": torch.ones(2, 1, 2), "history": 2}, "seen must be the history and the chunk"),
    ],
)
def test_refuses(arguments, message):
    given = {"seen": torch.ones(2, 8, 2), "taps": torch.ones(7), "up": 3, "down": 2, **arguments}
    with pytest.raises(ValueError, match=message):
        resample(**given)
