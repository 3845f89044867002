"""The rows of filterbanks in the table of functional operations."""

import numpy as np
import scipy.fft
import scipy.optimize
from hypothesis import strategies as st
from torch import Tensor

import dsptorch.functional as f
from dsptorch.testing import strategies as dst
from tests.functional.operation import SIGNAL, Operation, designed, numbers
from tests.oracles import upfirdn


def times(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The product of matrices of polynomials in 1 / z: (rows, columns, coefficients)."""
    columns = [[sum(map(np.convolve, row, column)) for column in second.swapaxes(0, 1)] for row in first]
    return np.array(columns)


def filters(polyphase: np.ndarray) -> np.ndarray:
    """h_k[M j + l] of E_kl(z) = sum_j h_k[M j + l] z^-j."""
    return polyphase.swapaxes(1, 2).reshape(len(polyphase), -1)


def rotation(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[[c], [s]], [[-s], [c]]])


DELAY = np.array([[[1.0, 0], [0, 0]], [[0, 0], [0, 1]]])


def lattice(angles: np.ndarray) -> np.ndarray:
    product = rotation(angles[0])
    for angle in angles[1:]:
        product = times(rotation(angle), times(DELAY, product))
    return product


def paraunitary(vectors: Tensor, reflections: Tensor) -> np.ndarray:
    product = np.eye(vectors.shape[1])[:, :, None]
    for v in reflections.numpy():
        product = times((np.eye(len(v)) - 2 * np.outer(v, v) / (v @ v))[:, :, None], product)
    for v in vectors.numpy():
        along = np.outer(v, v) / (v @ v)
        product = times(np.stack([np.eye(len(v)) - along, along], 2), product)
    return filters(product)


def window(angles: Tensor, bands: int = 5) -> np.ndarray:
    """The pairs (p[k + 2 M q], p[M + k + 2 M q]), and their mirror images; of an odd number the middle is a delay."""
    overlap = angles.shape[1]
    p = np.zeros((overlap, 2, bands))
    p[overlap // 2, 0, bands // 2] = np.sqrt(0.5)
    for k, own in enumerate(angles.numpy()):
        first = np.array([[[np.cos(own[0])]], [[np.sin(own[0])]]])
        for angle in own[1:]:
            first = times(rotation(angle), times(DELAY, first))
        p[:, :, k] = first[:, 0].T
    p = p.ravel()
    mirrored = np.where(p == 0, p[::-1], p)
    return mirrored / np.sqrt(2 * bands)


def cosine(angles: Tensor, bands: int = 5) -> np.ndarray:
    p = window(angles, bands)
    n, k = np.arange(len(p)) - (len(p) - 1) / 2, np.arange(bands)[:, None]
    return 2 * p * np.cos((2 * k + 1) * np.pi / (2 * bands) * n + (-1) ** k * np.pi / 4)


def dft(window: Tensor) -> np.ndarray:
    """The transform of each impulse in the frame."""
    spectrum = scipy.fft.rfft(np.diag(window.numpy())[::-1], norm="ortho")
    spectrum[:, 1:-1] *= np.sqrt(2)
    return np.stack([spectrum.real, spectrum.imag], 2).reshape(len(window), -1).T


def sums_of_squares(window: Tensor, stride: int = 4) -> np.ndarray:
    return np.tile((window.numpy().reshape(-1, stride) ** 2).sum(0), len(window) // stride)


def energy(angles: np.ndarray) -> float:
    """Of the first filter beyond 0.3 cycles per sample."""
    taps = filters(lattice(angles))[0]
    lag = np.subtract.outer(np.arange(len(taps)), np.arange(len(taps)))
    return taps @ (np.eye(len(taps)) - 0.6 * np.sinc(0.6 * lag)) @ taps


def least_energy(count: int) -> float:
    start = np.eye(1, count).ravel() * np.pi / 4
    return scipy.optimize.minimize(energy, start, tol=1e-9).fun


def sine_window(bands: int) -> np.ndarray:
    return np.sin((np.arange(2 * bands) + 0.5) * np.pi / (2 * bands)) / np.sqrt(2 * bands)


BANKS: dict[str, Operation] = {
    "analysis": Operation(
        lambda x, bank: f.analysis(x, bank, 2),
        st.tuples(SIGNAL, numbers(3, 5)),
        lambda x, bank: np.concatenate([upfirdn(x, h, 1, 2) for h in bank], -1),
    ),
    "cosine_angles": designed(
        lambda bands: f.cosine_window(f.cosine_angles(bands, 1), bands)[: bands // 2],
        lambda bands: sine_window(bands)[: bands // 2],
    ),
    "cosine_bank": Operation(lambda a: f.cosine_bank(a, 5), st.tuples(dst.angles(2, 3)), cosine),
    "cosine_window": Operation(lambda a: f.cosine_window(a, 5), st.tuples(dst.angles(2, 3)), window),
    "dct_reflections": designed(
        lambda bands: f.paraunitary_bank(f.dct_reflections(bands)[:0], f.dct_reflections(bands)).abs(),
        lambda bands: np.abs(scipy.fft.dct(np.eye(bands), axis=0, norm="ortho")),
    ),
    "dft_bank": Operation(f.dft_bank, numbers(6).map(lambda w: (w,)), dft),
    "dual_window": Operation(
        lambda w: f.dual_window(w, 4),
        numbers(8, low=1).map(lambda w: (w,)),
        lambda w: w.numpy() / sums_of_squares(w),
    ),
    "lattice_filters": Operation(
        f.lattice_filters, st.tuples(dst.angles(3)), lambda a: filters(lattice(a.numpy()))
    ),
    "lowpass_angles": designed(
        lambda n: f.lowpass_angles(n).new_tensor(energy(f.lowpass_angles(n).numpy())), least_energy
    ),
    "paraunitary_bank": Operation(
        f.paraunitary_bank,
        st.tuples(numbers(2, 3, low=1), numbers(2, 3, low=1)),
        paraunitary,
    ),
    "synthesis": Operation(
        lambda v, bank: f.synthesis(v, bank, 2),
        st.tuples(dst.signals((2, 4, 6)), numbers(3, 5)),
        lambda v, bank: sum(upfirdn(s, h, 2, 1) for s, h in zip(v.split(2, 2), bank, strict=True)),
    ),
    "tight_window": Operation(
        lambda w: f.tight_window(w, 4),
        numbers(8, low=1).map(lambda w: (w,)),
        lambda w: w.numpy() / np.sqrt(sums_of_squares(w)),
    ),
    "with_vanishing_moment": Operation(
        lambda a: f.lattice_filters(f.with_vanishing_moment(a)),
        st.tuples(dst.angles(2)),
        lambda a: filters(lattice(np.append(a.numpy(), np.pi / 4 - a.numpy().sum()))),
    ),
}
