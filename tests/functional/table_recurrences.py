"""The rows of the recurrences in the table of functional operations; scipy is their definition."""

import numpy as np
import scipy.signal
import torch
from hypothesis import strategies as st
from torch import Tensor

import dsptorch.functional as f
from dsptorch.testing import strategies as dst
from tests.functional.operation import SIGNAL, Operation, numbers
from tests.oracles import recurrence_loop


def sections(k: Tensor, zeros: Tensor) -> Tensor:
    """Two stable sections of numbers in (-1, 1), and of numerators."""
    k1, k2 = (k / 3).unbind(-1)
    return torch.stack([*zeros.unbind(-1), torch.ones_like(k1), k1 * (1 + k2), k2], -1)


def by_sosfilt(k: Tensor, zeros: Tensor, x: Tensor, zi: Tensor) -> tuple[np.ndarray, ...]:
    return scipy.signal.sosfilt(sections(k, zeros).numpy(), x.numpy(), axis=1, zi=zi.numpy())


def second_order(k: Tensor) -> Tensor:
    """A denominator of numbers in (-1, 1), whose first coefficient is not 1."""
    k1, k2 = (k / 3).unbind()
    return 2 * torch.stack([torch.ones_like(k1), k1 * (1 + k2), k2])


def cookbook(freq: Tensor, q: Tensor) -> np.ndarray:
    """The low-pass by the bilinear transform of its analogue prototype."""
    warped = 1 / np.tan(np.pi * freq.numpy())
    rows = []
    for k, quality in zip(warped, q.numpy(), strict=True):
        b, a = scipy.signal.bilinear([1], [k**2, k / quality, 1], fs=0.5)
        rows.append(np.concatenate([b, a]))
    return np.stack(rows, -1)


IDS = st.lists(st.integers(0, 1), min_size=14, max_size=14).map(lambda ids: torch.tensor(ids).reshape(2, 7))
POLES = numbers(2, 2, low=-8, high=8)

RECURRENCES: dict[str, Operation] = {
    "biquad_sos": Operation(
        lambda freq, q: f.biquad_sos("lowpass", freq, q),
        st.tuples(numbers(3, low=1, high=7).map(lambda v: v / 4), numbers(3, low=1)),
        cookbook,
    ),
    "lfilter": Operation(
        lambda b, k, x, zi: f.lfilter(b, second_order(k), x, zi),
        st.tuples(numbers(3), numbers(2), SIGNAL, numbers(2, 2, 2)),
        lambda b, k, x, zi: scipy.signal.lfilter(
            b.numpy(), second_order(k).numpy(), x.numpy(), axis=1, zi=zi.numpy()
        ),
    ),
    "linear_recurrence": Operation(
        f.linear_recurrence,
        st.tuples(dst.signals((2, 40, 2)), numbers(2, low=-3, high=3), numbers(2, 2)),
        lambda x, a, zi: both_ends(recurrence_loop(x.unsqueeze(2), a.reshape(1, 1, 2), zi.unsqueeze(1))),
    ),
    "linear_recurrence, time-varying": Operation(
        f.linear_recurrence,
        st.tuples(SIGNAL, numbers(2, 7, 2)),
        lambda x, a: recurrence_loop(x.unsqueeze(2), a[:, :, None, None]).squeeze(2).numpy(),
    ),
    "linear_recurrence, coupled": Operation(
        f.linear_recurrence,
        st.tuples(numbers(2, 7, 2, 2), numbers(2, 2, 2)),
        lambda x, a: recurrence_loop(x, a).numpy(),
    ),
    "linear_recurrence, segments": Operation(
        lambda ids, x, a: f.linear_recurrence(x, a, segments=f.find_segments(ids)),
        st.tuples(IDS, SIGNAL, numbers(2)),
        lambda ids, x, a: recurrence_loop(x.unsqueeze(2), a.reshape(1, 1, 2), None, ids).squeeze(2).numpy(),
    ),
    "sosfilt": Operation(
        lambda k, zeros, x, zi: f.sosfilt(sections(k, zeros), x, zi),
        st.tuples(POLES, numbers(2, 3), SIGNAL, numbers(2, 2, 2, 2)),
        by_sosfilt,
    ),
}


def both_ends(y: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """All states, and the last ones, of one state a channel."""
    return y.squeeze(2).numpy(), y[:, -1].squeeze(1).numpy()
