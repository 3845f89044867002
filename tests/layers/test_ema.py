"""EMA and EMABank: scipy's lfilter, the mean of what was seen, starts, and stability for every raw value."""

import math

import numpy as np
import pytest
import scipy.signal as ss
import torch

from dsptorch import EMA, BoundedHyperparam, EMABank, fold
from dsptorch.testing import assert_bounded, assert_unit_dc
from tests.layers.table import WIDTH, signal
from tests.tolerances import assert_close, assert_same


def by_scipy(x, half_lives, zi=0.0):
    """Each channel by `scipy.signal.lfilter`, from y[-1] = zi."""
    y = np.zeros(x.shape)
    for c, h in enumerate(half_lives):
        a = 2.0 ** (-1 / h)
        first = np.full((len(x), 1), a * zi)
        y[:, :, c], _ = ss.lfilter([1 - a], [1, -a], x[:, :, c].numpy(), axis=1, zi=first)
    return torch.from_numpy(y)


def half_lives(layer):
    return layer.half_life.value.double().tolist()


class TestEMA:
    def test_is_scipys_lfilter(self):
        x = signal(2, 300)
        layer = EMA(WIDTH, 3.0)
        assert (layer(x) - by_scipy(x, [3.0] * WIDTH)).abs().max() < 1e-10
        first, state = layer.step(x[:, :111])
        later, _ = layer.step(x[:, 111:], state)
        assert_close(torch.cat([first, later], 1), by_scipy(x, [3.0] * WIDTH))

    def test_a_pair_leaves_half_of_the_channels_and_spreads_the_others(self):
        layer, x = EMA(7, (1, 64)).double(), signal(2, 50, width=7)
        assert_close(
            layer.half_life.value,
            64 ** ((torch.arange(4, dtype=torch.float64) + 0.5) / 4),
            dtype=torch.float32,
        )
        assert (layer.half_life.low, layer.half_life.high, layer.half_life.log) == (1, 64, True)
        y = layer(x)
        assert_same(y[..., :3], x[..., :3])
        assert_close(y[..., 3:], by_scipy(x[..., 3:], half_lives(layer)))

    def test_a_pair_may_go_down(self):
        up, down = EMA(8, (1, 64)).half_life, EMA(8, (64, 1)).half_life
        assert_close(down.value, up.value.flip(0))
        assert (down.low, down.high) == (1, 64)

    def test_one_channel_of_a_pair_is_in_its_middle(self):
        assert EMA(1, (1, 64)).half_life.value.item() == pytest.approx(8)

    def test_a_half_life_for_each_channel(self):
        layer = EMA(WIDTH, BoundedHyperparam(torch.tensor([1.0, 2, 4, 8]), 0.5, 16, log=True)).double()
        assert_close(layer(signal()), by_scipy(signal(), half_lives(layer)))

    def test_halves_in_its_half_life(self):
        impulse = torch.zeros(1, 50, 1, dtype=torch.float64)
        impulse[:, 0] = 1
        y = EMA(1, 8.0)(impulse).flatten()
        assert_close(y / y[0], 2 ** (-torch.arange(50, dtype=torch.float64) / 8))

    def test_unit_gain_at_dc_exactly(self):
        """Also in float32 with a half-life so long that the pole is rounded by much."""
        for half_life in (0.1, 8.0, 3000.0, 65536.0):
            y, state = torch.ones(1, 1, 1), None
            layer = EMA(1, half_life, start="first")
            for _ in range(20):
                y, state = layer.step(torch.ones(1, 500, 1), state)
            assert_close(y, torch.ones_like(y))
        assert_unit_dc(EMA(WIDTH, 4.0), torch.zeros(1, 200, WIDTH, dtype=torch.float64), settle=150)

    def test_warm_is_the_mean_of_what_was_seen(self):
        h = 5.0
        layer, x = EMA(2, h, warm=True), signal(1, 40, width=2)
        for t in range(40):
            weights = 2 ** ((torch.arange(t + 1, dtype=torch.float64) - t) / h)
            mean = (weights.unsqueeze(-1) * x[0, : t + 1]).sum(0) / weights.sum()
            assert_close(layer(x)[0, t], mean)
        constant = torch.full((1, 40, 2), 3.0, dtype=torch.float64)
        assert_close(layer(constant), constant)

    @pytest.mark.parametrize("half_life", [0.1, 8.0, 65536.0])
    def test_warm_in_float32(self, half_life):
        x = torch.full((1, 1000, 2), 3.0)
        assert_close(EMA(2, half_life, warm=True)(x), x)

    def test_starts_at_the_first_sample(self):
        x, h = signal(1, 40), 5.0
        y = EMA(WIDTH, h, start="first")(x)
        expected = [x[0, 0]]
        for now in x[0, 1:]:
            expected.append(2 ** (-1 / h) * expected[-1] + (1 - 2 ** (-1 / h)) * now)
        assert_close(y[0], torch.stack(expected))

    @pytest.mark.parametrize("options", [{"warm": True}, {"start": "first"}])
    def test_each_packed_signal_starts_anew(self, options):
        layer, x = EMA(WIDTH, 5.0, **options), signal(1, 20)
        y = layer(x, torch.tensor([[0] * 8 + [1] * 12]))
        assert_close(y, torch.cat([layer(x[:, :8]), layer(x[:, 8:])], 1))
        assert (y[:, 8] - x[:, 8]).abs().max() < 1e-12

    def test_folds_to_itself_with_numbers_for_what_learned(self):
        x = signal(dtype=torch.float32)
        for layer in (EMA(WIDTH, 3.0), EMA(WIDTH), EMA(WIDTH, BoundedHyperparam(3.0, 1, 9, log=True))):
            folded = fold(layer)
            assert type(folded) is EMA
            assert not list(folded.parameters())
            assert_same(folded(x), layer(x))
            assert folded.half().double()(x.double()).isfinite().all()

    def test_a_state_in_float32_at_least(self):
        x = torch.ones(1, 4000, 1, dtype=torch.bfloat16)
        y, state = EMA(1, 4000.0).bfloat16().step(x)
        assert state.memory.dtype == torch.float32
        assert y.dtype == torch.bfloat16
        assert y[0, -1].item() == pytest.approx(0.5, abs=0.01)  # in bfloat16 it would stop at 0.06


class TestEMABank:
    def test_is_an_ema_for_each_half_life(self):
        bank, x = EMABank(WIDTH, 3, (1, 16)).double(), signal(2, 60)
        y = bank(x).unflatten(-1, (3, WIDTH))
        for j, h in enumerate((2 ** (2 / 3), 4.0, 2 ** (10 / 3))):
            assert bank.half_life.value[j * WIDTH].item() == pytest.approx(h)
            assert_close(y[:, :, j], by_scipy(x, half_lives(bank)[j * WIDTH : (j + 1) * WIDTH]))

    def test_learns_a_half_life_for_each_channel_of_each_average(self):
        bank = EMABank(WIDTH, 3)
        bank(signal(dtype=torch.float32)).square().sum().backward()
        assert bank.half_life.raw.grad.unique().numel() == 3 * WIDTH

    def test_of_one_average(self):
        assert EMABank(2, 1).half_life.value.tolist() == pytest.approx([8.0, 8.0])


def check_stable(decay):
    """The pole is inside the unit circle, the gain at DC is 1, and so no output is greater than the greatest input."""
    a = decay
    assert a.dtype == torch.float32
    assert ((a >= 0) & (a < 1)).all()


def raws(count=10_000):
    return torch.rand(count) * 100 - 50


def test_every_raw_value_is_stable_in_float32():
    """Between all bounds that are allowed: the pole itself, and the sum of the impulse response."""
    for low, high in ((0.1, 65536.0), (1.0, 64.0), (65535.0, 65536.0)):
        layer = EMA(
            10_000, BoundedHyperparam(torch.full((10_000,), math.sqrt(low * high)), low, high, log=True)
        )
        with torch.no_grad():
            layer.half_life.raw.copy_(raws())
            check_stable(layer._decay(torch.zeros(1)))
            impulse = torch.zeros(1, 400, 10_000)
            impulse[:, 0] = 1
            response = layer(impulse)
        assert (response >= 0).all()
        assert response.sum(1).max() <= 1 + 1e-5
        assert (response.diff(dim=1) <= 1e-12).all()


def test_a_pole_at_1_is_caught():
    with pytest.raises(AssertionError):
        check_stable(torch.exp2(-1 / torch.tensor([1e9])))  # what an unbounded half-life would be


def test_is_bounded():
    assert assert_bounded(EMA(1, 3.0).double(), torch.zeros(1, 60, 1, dtype=torch.float64), 1.0) <= 1
    with pytest.raises(AssertionError, match=r"not bounded by 0\.9"):
        assert_bounded(EMA(1, 3.0).double(), torch.zeros(1, 60, 1, dtype=torch.float64), 0.9)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: EMA(4, 0), ValueError, r"half_life must be a finite number in \[0.1, 65536\], got 0"),
        (lambda: EMA(4, -1.0), ValueError, "half_life must be a finite number"),
        (lambda: EMA(4, math.inf), ValueError, "half_life must be a finite number"),
        (lambda: EMA(4, (0, 64)), ValueError, r"half_life must be a finite number in \[0.1, 65536\], got 0"),
        (lambda: EMA(4, (8, 8)), ValueError, "a pair of two different numbers, got .*give 8 alone"),
        (lambda: EMA(4, (1, 2, 3)), ValueError, r"a number or a pair \(first, last\), got 3 numbers"),
        (lambda: EMA(4, "8"), TypeError, "half_life must be a float .*got '8' of type str"),
        (lambda: EMA(4, (1, "8")), TypeError, "half_life must be a float"),
        (
            lambda: EMA(4, BoundedHyperparam(1.0, 0.01, 8)),
            ValueError,
            r"half_life must stay in \[0.1, 65536\]",
        ),
        (
            lambda: EMA(4, BoundedHyperparam(torch.ones(3), 0.5, 8)),
            ValueError,
            "hold 1 value, or 4, one a channel",
        ),
        (lambda: EMA(4, start="last"), ValueError, "start must be 'zero' or 'first', got 'last'"),
        (lambda: EMA(4, warm=True, start="first"), ValueError, "leave out start='first'"),
        (lambda: EMABank(4, 0), ValueError, "num must be at least 1, got 0"),
        (lambda: EMABank(0, 4), ValueError, "d_model must be at least 1, got 0"),
    ],
)
def test_refuses(make, error, says):
    with pytest.raises(error, match=says):
        make()
