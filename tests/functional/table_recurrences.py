"""Rows of the table of operations: recurrences, against scipy's lfilter and sosfilt with their states."""

import numpy as np
import scipy.signal
import torch
from hypothesis import strategies as st
from torch import Tensor

import dsptorch.functional as f
from dsptorch.testing import strategies as dst

F64 = torch.float64
SIGNAL = dst.signals((2, 7, 2))
DENOMINATORS = torch.tensor([[1.0, -0.5, 0.25], [1.0, 0.25, -0.125]], dtype=F64)


def _numbers(*shape: int) -> st.SearchStrategy[Tensor]:
    count = int(np.prod(shape))
    values = st.lists(st.integers(-3, 3), min_size=count, max_size=count)
    return values.map(lambda v: torch.tensor(v, dtype=F64).reshape(shape) / 4)


def _sections(numerators: Tensor) -> Tensor:
    return torch.cat([numerators, DENOMINATORS.to(numerators)], 1)


def one_pole(x: Tensor, a: Tensor, zi: Tensor) -> tuple[np.ndarray, np.ndarray]:
    y = np.empty(x.shape)
    for row in range(x.shape[0]):
        for c in range(x.shape[2]):
            state = [float(a[c] * zi[row, c])]
            y[row, :, c] = scipy.signal.lfilter([1.0], [1.0, -float(a[c])], x[row, :, c].numpy(), zi=state)[0]
    return y, y[:, -1]


def lowpass(freq: Tensor, q: Tensor) -> np.ndarray:
    """The cookbook's equations as they stand."""
    w, q = 2 * np.pi * freq.numpy(), q.numpy()
    alpha, c = np.sin(w) / (2 * q), np.cos(w)
    section = [(1 - c) / 2, 1 - c, (1 - c) / 2, 1 + alpha, -2 * c, 1 - alpha]
    return np.stack(section) / (1 + alpha)


RECURRENCES = {
    "biquad_sos": (
        lambda freq, q: f.biquad_sos("lowpass", freq, q),
        st.tuples(_numbers(3), _numbers(3)).map(lambda case: ((case[0] + 1) / 4, case[1] + 1)),
        lowpass,
    ),
    "lfilter": (
        lambda x, b, zi: f.lfilter(b, DENOMINATORS[0].to(b), x, zi),
        st.tuples(SIGNAL, _numbers(3), _numbers(2, 2, 2)),
        lambda x, b, zi: scipy.signal.lfilter(b.numpy(), DENOMINATORS[0].numpy(), x.numpy(), 1, zi.numpy()),
    ),
    "linear_recurrence": (
        f.linear_recurrence,
        st.tuples(SIGNAL, _numbers(2), _numbers(2, 2)),
        one_pole,
    ),
    "sosfilt": (
        lambda x, b, zi: f.sosfilt(_sections(b), x, zi),
        st.tuples(SIGNAL, _numbers(2, 3), _numbers(2, 2, 2, 2)),
        lambda x, b, zi: scipy.signal.sosfilt(_sections(b).numpy(), x.numpy(), 1, zi.numpy()),
    ),
}
"""The operation, its cases and its oracle, by name."""
