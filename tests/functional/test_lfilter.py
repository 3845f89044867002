"""`lfilter` and `sosfilt` against scipy's: outputs, zi and zf; chunks, segments, derivatives, refusals."""

import numpy as np
import pytest
import scipy.signal as ss
import torch
from hypothesis import strategies as st

from dsptorch.functional import find_segments, lfilter, sosfilt
from dsptorch.functional.lfilter import pole_radius
from dsptorch.testing.strategies import stable_filters
from tests.oracles import runs
from tests.strategies import fails, holds
from tests.tolerances import assert_close

CUTS = ([0, 1, 1, 0, 3, 35], [40], [1] * 40, [2] * 20)


def noise(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def same(ours, scipys):
    """To 1e-10, as promised: the tolerance for float64 is 1e-9 of each value, and 1e-11."""
    assert_close(ours, torch.from_numpy(np.asarray(scipys)))
    assert not ours.numel() or (ours - torch.from_numpy(scipys)).abs().max() < 1e-10 * max(
        1, abs(scipys).max()
    )


@st.composite
def cases(draw):
    """(b, a, x, zi): stable, of order 0 to 2, with a first coefficient that need not be 1."""
    b, a = draw(stable_filters(max_sections=1))
    drop = draw(st.integers(0, 2))
    b = b[: len(b) - drop] if len(b) > drop else b
    scale = draw(st.sampled_from([1.0, 2.0, -0.5]))
    batch, time = draw(st.integers(1, 3)), draw(st.integers(1, 40))
    torch.manual_seed(draw(st.integers(0, 99)))
    order = max(len(a), len(b)) - 1
    return b, scale * a, noise(batch, time, 2), noise(batch, order, 2)


def check_lfilter(run, case):
    b, a, x, zi = case
    y, zf = run(b, a, x, zi)
    expected, its = ss.lfilter(b.numpy(), a.numpy(), x.numpy(), axis=1, zi=zi.numpy())
    same(y, expected)
    same(zf, its)
    same(lfilter(b, a, x), ss.lfilter(b.numpy(), a.numpy(), x.numpy(), axis=1))


def test_lfilter_is_scipys():
    holds(lambda case: check_lfilter(lfilter, case), cases(), times=3)


@pytest.mark.parametrize(
    "broken",
    [
        lambda b, a, x, zi: (lfilter(b, a, x, zi)[0], zi),
        lambda b, a, x, zi: (lfilter(b, a, x), lfilter(b, a, x, zi)[1]),
        lambda b, a, x, zi: lfilter(b, a, x, zi.flip(1)),
        lambda b, a, x, zi: lfilter(b / a[0], a, x, zi),
        lambda b, a, x, zi: lfilter(b, torch.cat([a[:1], -a[1:]]), x, zi),
    ],
    ids=["zf is zi", "no zi", "the states in the other order", "a0 twice", "the other sign"],
)
def test_scipys_lfilter_catches(broken):
    fails(lambda case: check_lfilter(broken, case), cases(), times=3)


DESIGNS = {
    "butter 5": lambda: ss.butter(5, 0.2, output="sos"),
    "cheby1 high": lambda: ss.cheby1(4, 1, 0.3, "high", output="sos"),
    "ellip band": lambda: ss.ellip(3, 1, 40, [0.2, 0.4], "band", output="sos"),
}


@pytest.mark.parametrize("design", DESIGNS)
def test_sosfilt_is_scipys(design):
    sos, x = DESIGNS[design](), noise(3, 200, 2)
    zi = noise(len(sos), 3, 2, 2)
    y, zf = sosfilt(sos, x, zi)
    expected, its = ss.sosfilt(sos, x.numpy(), axis=1, zi=zi.numpy())
    same(y, expected)
    same(zf, its)
    same(sosfilt(torch.from_numpy(sos), x), ss.sosfilt(sos, x.numpy(), axis=1))


def test_from_the_steady_state_a_constant_stays():
    b, a = ss.butter(2, 0.3)
    zi = torch.from_numpy(ss.lfilter_zi(b, a)).reshape(1, 2, 1)
    x = torch.ones(1, 50, 1, dtype=torch.float64)
    assert_close(lfilter(b, a, x, zi)[0], x)
    assert_close(lfilter(b, a, x, zi)[1], zi)
    sos = DESIGNS["butter 5"]()
    steady = torch.from_numpy(ss.sosfilt_zi(sos)).reshape(len(sos), 1, 2, 1)
    assert_close(sosfilt(sos, x, steady)[0], x)


def test_coefficients_of_each_channel():
    sos = torch.from_numpy(np.stack([ss.butter(4, w, output="sos") for w in (0.1, 0.3, 0.7)], -1))
    x = noise(2, 60, 3)
    alone = [sosfilt(sos[..., c], x[..., c : c + 1]) for c in range(3)]
    assert_close(sosfilt(sos, x), torch.cat(alone, -1))
    b, a = sos[0, :3], sos[0, 3:]
    alone = [lfilter(b[:, c], a[:, c], x[..., c : c + 1]) for c in range(3)]
    assert_close(lfilter(b, a, x), torch.cat(alone, -1))


def check_chunks(run, cuts):
    sos, x, ids = (
        DESIGNS["butter 5"](),
        noise(2, 40, 2),
        torch.arange(40).div(7, rounding_mode="floor").repeat(2, 1),
    )
    ids[1] = ids[1].roll(3)
    alone = torch.zeros_like(x)
    for row, start, stop in runs(ids):
        alone[row, start:stop] = sosfilt(sos, x[row : row + 1, start:stop])[0]
    for packed in (False, True):
        zf, outputs, position, last = torch.zeros(len(sos), 2, 2, 2, dtype=torch.float64), [], None, None
        for chunk, part in zip(x.split(cuts, 1), ids.split(cuts, 1), strict=True):
            segments = find_segments(part, position, last) if packed else None
            if segments is not None:
                position, last = segments.next_position, segments.last
            y, zf = run(sos, chunk, zf, segments=segments)
            outputs.append(y)
        assert_close(torch.cat(outputs, 1), alone if packed else sosfilt(sos, x))


@pytest.mark.parametrize("cuts", CUTS, ids=str)
def test_chunks_and_packed_chunks_equal_the_whole(cuts):
    check_chunks(sosfilt, cuts)


@pytest.mark.parametrize(
    "broken",
    [
        lambda sos, x, zi, segments: (sosfilt(sos, x, zi, segments=segments)[0], zi),
        lambda sos, x, zi, segments: sosfilt(sos, x, zi),
    ],
    ids=["a state without zf", "a state that outlives its signal"],
)
def test_a_state_that_is_wrong_is_caught(broken):
    with pytest.raises(AssertionError, match="differs at"):
        check_chunks(broken, CUTS[0])


@pytest.mark.parametrize("time", [1, 2, 20])
def test_derivatives(time):
    sos = torch.from_numpy(DESIGNS["butter 5"]())[:2]
    b, a, x, zi = (
        v.requires_grad_()
        for v in (sos[:, :3].clone(), sos[:, 4:].clone(), noise(1, time, 2), noise(2, 1, 2, 2))
    )

    def run(b, a, x, zi):
        return sosfilt(torch.cat([b, torch.ones(2, 1, dtype=torch.float64), a], 1), x, zi)

    assert torch.autograd.gradcheck(run, (b, a, x, zi), check_forward_ad=True, fast_mode=True)
    assert torch.autograd.gradgradcheck(run, (b, a, x, zi), fast_mode=True)


def test_a_batch_of_filters_by_vmap():
    """Where no value can be looked at, nothing is refused."""
    many = torch.stack([torch.from_numpy(ss.butter(2, w, output="sos")) for w in (0.1, 0.3)])
    x = noise(1, 30, 2)
    y = torch.func.vmap(sosfilt, (0, None))(many, x)
    for mine, sos in zip(y, many, strict=True):
        assert_close(mine, sosfilt(sos, x))


X = torch.zeros(2, 5, 3)
HALF = torch.tensor([[1.0, 0, 0, 1, -0.5, 0]])


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: sosfilt(HALF, X[0]), ValueError, r"sosfilt expects \(batch, time, channels\)"),
        (
            lambda: sosfilt(HALF[:, :5], X),
            ValueError,
            r"sos must be of shape \(sections, 6\) .*scipy.signal.tf2sos",
        ),
        (lambda: sosfilt(HALF.unsqueeze(-1).expand(1, 6, 2), X), ValueError, r"or \(sections, 6, 3\), got"),
        (lambda: sosfilt(HALF, X, torch.zeros(2, 2, 3)), ValueError, r"channels\) = \(1, 2, 2, 3\), got"),
        (lambda: sosfilt(2 * HALF, X), ValueError, r"sos\[:, 3\] must be 1, got \[2.0\]"),
        (lambda: sosfilt(HALF.long(), X), TypeError, "real floating-point coefficients"),
        (
            lambda: sosfilt(torch.tensor([[1.0, 0, 0, 1, -2.0, 1.0]]), X),
            ValueError,
            "section 0 of sos must have its poles inside the unit circle, got one at radius 1, whose",
        ),
        (
            lambda: sosfilt(torch.tensor([[1.0, 0, 0, 1, 0, 1.1]]), X),
            ValueError,
            r"radius 1\.04881.*linear_recurrence",
        ),
        (
            lambda: lfilter([1.0], [1.0, 0.5, 0, 0, 0.1], X),
            ValueError,
            "up to order 2, got order 4.*sosfilt.*tf2sos",
        ),
        (lambda: lfilter([1.0] * 4, [1.0], X), ValueError, "got order 3"),
        (lambda: lfilter([1.0], [0.0, 1.0], X), ValueError, r"a\[0\] must not be 0"),
        (lambda: lfilter([1.0], [1.0, -1.0], X), ValueError, "the filter must have its poles inside"),
        (lambda: lfilter([], [1.0], X), ValueError, r"b must be of shape \(n,\)"),
        (
            lambda: lfilter([1.0], [1.0, 0.5], X, torch.zeros(1, 3)),
            ValueError,
            r"channels\) = \(2, 1, 3\), got",
        ),
    ],
)
def test_refuses(call, error, says):
    with pytest.raises(error, match=says):
        call()


def test_the_radius_of_the_poles():
    a1, a2 = noise(200), noise(200)
    expected = [max(abs(np.roots([1, p, q]))) for p, q in zip(a1, a2, strict=True)]
    assert_close(pole_radius(a1, a2), torch.tensor(expected, dtype=torch.float64))
