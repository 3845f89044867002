"""Mu-law, the mixture over its codes, and the linear prediction: each against its definition."""

import math

import numpy as np
import pytest
import torch
from voice.codes import LEVELS, decode, edges, encode
from voice.lpc import FINEST, HALF_LIFE, HOP, LEAST, ORDER, SPREAD, WHITE, Predictor
from voice.mixture import bits, draw

EVERY = torch.arange(-(2**15), 2**15).short()
"""All samples of 16 bits."""


def test_codes_are_mu_law() -> None:
    for sample, code in (
        (0, 128),
        (-1, 127),
        (1, 128),
        (100, 141),
        (-100, 114),
        (2**15 - 1, 255),
        (-(2**15), 0),
    ):
        x = sample / 2**15
        literal = (math.copysign(math.log1p(255 * abs(x)) / math.log(256), x) + 1) / 2 * 255 + 0.5
        assert encode(torch.tensor([sample]).short()).item() == int(literal) == code


def test_codes_go_up_and_all_are_used() -> None:
    codes = encode(EVERY).long()
    assert (codes.diff() >= 0).all()
    assert codes.unique().tolist() == list(range(LEVELS))
    assert torch.equal(
        encode((decode(torch.arange(LEVELS)) * 2**15).clamp_max(2**15 - 1).short()).long()[130:],
        torch.arange(130, LEVELS),
    )


def test_a_code_is_what_lies_between_its_edges() -> None:
    assert torch.equal(
        torch.bucketize(EVERY.double() / 2**15, edges()[1:-1], right=True), encode(EVERY).long()
    )


def mixtures(*, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Narrow and wide ones, in the middle and at the ends."""
    weights = torch.tensor([[0.0, 1.0], [2.0, -1.0], [0.0, 0.0], [0.0, -30.0]])
    means = torch.tensor([[0.0, 0.1], [-0.9, 1.5], [0.001, -0.001], [0.3, 0.0]])
    widths = torch.tensor([[-3.0, -1.0], [-5.0, 0.0], [-9.0, -14.0], [-6.0, 2.0]])
    return torch.cat([weights, means, widths], -1).to(dtype)


def check_sums(found) -> None:
    total = torch.exp2(-found(mixtures()[:, None].expand(-1, LEVELS, -1), torch.arange(LEVELS))).sum(-1)
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-9)


def test_probabilities_of_all_codes_are_one() -> None:
    check_sums(bits)


def test_probabilities_that_are_not_one_are_caught() -> None:
    def dense(mixture: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        return bits(mixture, codes) - 0.01  # planted: bits that no message could have

    with pytest.raises(AssertionError):
        check_sums(dense)


def test_bits_and_gradients_are_finite_where_a_code_is_far_off() -> None:
    mixture = mixtures(dtype=torch.float32)[:, None].expand(-1, LEVELS, -1).clone().requires_grad_()
    found = bits(mixture, torch.arange(LEVELS))
    found.sum().backward()
    assert found.isfinite().all()
    assert mixture.grad is not None
    assert mixture.grad.isfinite().all()


def test_codes_are_drawn_as_often_as_the_mixture_says() -> None:
    count, generator = 40_000, torch.Generator().manual_seed(0)
    for mixture in mixtures():
        drawn = draw(mixture.expand(count, -1), generator).bincount(minlength=LEVELS) / count
        expected = torch.exp2(-bits(mixture.expand(LEVELS, -1), torch.arange(LEVELS)))
        assert (drawn - expected).abs().max() < 4 * math.sqrt(0.25 / count)
    assert draw(mixtures()[3], generator, temperature=0).item() == 228  # the code of 0.3


def signal(time: int) -> torch.Tensor:
    """An autoregression of order 2 that changes halfway, and what noise it is driven by: (time, 2)."""
    noise = 0.02 * torch.randn(time, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = [0.0, 0.0]
    for t in range(time):
        a, b = (1.6, -0.8) if t < time // 2 else (0.4, -0.7)
        x.append(a * x[-1] + b * x[-2] + noise[t].item())
    return torch.stack([torch.tensor(x[2:], dtype=torch.float64), noise], -1)


def test_prediction_is_recursive_least_squares() -> None:
    """Against a literal sum over the past."""
    x = signal(300)[:, 0]
    prediction, error, spread = Predictor()(x.view(1, -1, 1))
    padded, decay = np.concatenate([np.zeros(ORDER), x.numpy()]), 2 ** (-1 / HALF_LIFE)
    mean = 0.0
    for t in range(300):
        at = t // HOP * HOP
        rows = np.array([padded[s : s + ORDER + 1][::-1] for s in range(at + 1)])  # x[s], x[s - 1], ...
        weights = (1 - decay) * decay ** np.arange(at, -1, -1)
        products = (rows * weights[:, None]).T @ rows
        # The averages begin at rest, so that those of delayed products miss nothing.
        matrix = products[1:, 1:] + np.eye(ORDER) * (WHITE * np.trace(products[1:, 1:]) / ORDER + LEAST)
        expected = np.linalg.solve(matrix, products[1:, 0]) @ padded[t + 1 : t + ORDER + 1][::-1]
        assert prediction[0, t, 0].item() == pytest.approx(expected, abs=1e-8)
        before = prediction[0, t - 1, 0].item() if t else 0.0
        assert error[0, t, 0].item() == pytest.approx(x[t].item() - before, abs=1e-12)
        keep = 2 ** (-1 / SPREAD)
        mean = keep * mean + (1 - keep) * abs(error[0, t, 0].item())
        assert spread[0, t, 0].item() == pytest.approx(mean + FINEST, rel=1e-9)


def test_prediction_finds_an_autoregression_and_follows_its_change() -> None:
    x = signal(4000)
    _, error, _ = Predictor()(x[None, :, :1])
    for part in (slice(500, 2000), slice(2500, 4000)):
        assert error[0, part, 0].square().mean() < 1.6 * x[part, 1].square().mean()
