"""Changes of rate against scipy, in chunks and in packed rows; each check has its planted bugs."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch.autograd.gradcheck import gradcheck

from dsptorch.functional import find_segments, resample
from dsptorch.functional.filtering import latest
from dsptorch.functional.timeline import outputs_before
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


def streamed(run, x, taps, up, down, lengths, positions=None):
    """The outputs of each chunk; what joins them is the memory, and the time modulo M."""
    memory, time, outputs = -(-taps.shape[0] // up) - 1, 0, []
    history = x.new_zeros(x.shape[0], memory, x.shape[2])
    for chunk in x.split(lengths, 1):
        seen, more = torch.cat([history, chunk], 1), {}
        if positions is not None:
            more["position"] = positions[:, time : time + chunk.shape[1]]
        outputs.append(run(seen, taps, up, down, history=memory, phase=time % down, **more))
        history, time = latest(seen, memory), time + chunk.shape[1]
    return outputs


def check_chunks(run=resample, due=outputs_before):
    random = np.random.default_rng(1)
    for x, taps, up, down in random_cases(120):
        lengths = []
        while sum(lengths) < x.shape[1]:
            lengths.append(min(int(random.integers(0, 6)), x.shape[1] - sum(lengths)))
        outputs, made, time = streamed(run, x, taps, up, down, lengths), 0, 0
        for y, length in zip(outputs, lengths, strict=True):
            made, time = made + y.shape[1], time + length
            assert made == due(time, Fraction(up, down))  # the law of lengths, at every prefix
        if lengths:
            assert_close(torch.cat(outputs, 1), resample(x, taps, up, down))


def test_any_chunking_gives_the_same_numbers():
    check_chunks()


def test_chunks_catch_floor():
    with pytest.raises(AssertionError):
        check_chunks(due=lambda time, rate: time * rate.numerator // rate.denominator)


@pytest.mark.parametrize("lost", ["phase", "history"])
def test_chunks_catch(lost):
    def run(seen, *args, history, phase):
        if lost == "phase":
            return resample(seen, *args, history=history)
        return resample(seen[:, history:], *args, phase=phase)

    with pytest.raises(AssertionError):
        check_chunks(run)


def test_samples_before_the_memory_are_not_seen():
    for x, taps, up, down in random_cases(60):
        memory, before = -(-taps.shape[0] // up) - 1, x.shape[1] // 2
        whole = resample(x, taps, up, down, history=before)
        short = x[:, max(0, before - memory) :]
        assert_close(resample(short, taps, up, down, history=min(before, memory)), whole)
        assert_close(resample(x, taps, up, down, history=before, phase=7 * down), whole)


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


def check_segments_in_chunks(run):
    taps, ids = torch.randn(7, 2, dtype=torch.float64), torch.tensor([[0] * 4 + [1] * 6 + [2] * 8])
    x, position = torch.randn(1, 18, 2, dtype=torch.float64), find_segments(ids).position
    outputs = streamed(run, x, taps, 3, 2, [3, 4, 1, 1, 9], position)
    assert_close(torch.cat(outputs, 1), resample(x, taps, 3, 2, position=position))


def test_segments_in_chunks():
    check_segments_in_chunks(resample)
    with pytest.raises(AssertionError):
        check_segments_in_chunks(
            lambda *args, position, **kwargs: resample(*args, position=0 * position, **kwargs)
        )


def test_gradients_through_segments():
    _, (x, taps) = double("rational", 8)
    position = find_segments(torch.tensor([[0, 0, 1, 1, 1, 1, 2, 2]] * 2)).position
    assert gradcheck(lambda x, taps: resample(x, taps, 3, 2, position=position), (x, taps))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"up": 0}, "up and down must be integers >= 1, got up=0"),
        ({"history": 9}, "seen must be the history and the chunk after it.*got history=9"),
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
