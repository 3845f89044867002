"""The rows of modulation in the table of functional operations."""

import numpy as np
from hypothesis import strategies as st
from torch import Tensor

import dsptorch.functional as f
from dsptorch.testing import strategies as dst
from tests.functional.operation import SIGNAL, Operation, numbers
from tests.oracles import allpass_delay_loop, fractional_delay_loop

DELAYS = numbers(1, 7, 2, low=2, high=11).map(lambda delay: delay + 1 / 8)
"""Away from whole and half samples, where the slope jumps."""


def harmonics(phase: Tensor, sharpness: float, odd: bool) -> np.ndarray:
    """The sum of the harmonics of a rounded wave: of a square the odd ones, of a saw all, with signs in turn."""
    k = np.arange(1, 400, 2 if odd else 1)
    weights = sharpness**k / k * (1 if odd else (-1.0) ** (k + 1))
    return np.sin(2 * np.pi * phase.numpy()[:, None] * k) @ weights


def after_a_state(x: Tensor, delay: Tensor, zi: Tensor) -> tuple[Tensor, Tensor]:
    """What is left of the state, which the coefficients multiply from sample to sample, is added."""
    y = allpass_delay_loop(x, delay)
    rest = zi
    for t in range(x.shape[1]):
        part = (delay[:, t] - 0.49) % 1 + 0.49
        rest = -(1 - part) / (1 + part) * rest
        y[:, t] += rest
    return y, y[:, -1]


MODULATION: dict[str, Operation] = {
    "allpass_delay": Operation(
        lambda x, delay: f.allpass_delay(x, delay, 3)[0], st.tuples(SIGNAL, DELAYS), allpass_delay_loop
    ),
    "allpass_delay, after a state": Operation(
        lambda x, delay, zi: f.allpass_delay(x, delay, 3, zi),
        st.tuples(dst.signals((2, 7, 2)), DELAYS, numbers(2, 2)),
        after_a_state,
    ),
    "fractional_delay": Operation(
        lambda x, delay: f.fractional_delay(x, delay, 3), st.tuples(SIGNAL, DELAYS), fractional_delay_loop
    ),
    "soft_saw": Operation(
        f.soft_saw,
        st.tuples(numbers(6)),
        lambda phase: harmonics(phase, 0.9, odd=False) / np.arcsin(0.9),
    ),
    "soft_square": Operation(
        f.soft_square,
        st.tuples(numbers(6)),
        lambda phase: harmonics(phase, 0.9, odd=True) / np.arctan(0.9),
    ),
}
