"""The low-pass filters of the orthonormal wavelets, computed from their definitions.

Each function returns the synthesis filter `rec_lo`, in decimals of 100 digits, of which the first 50 are right.
"""

import math
from collections.abc import Sequence
from decimal import Decimal

from dsptorch.functional.exact import Complex, exactly, from_roots, multiply, power, roots, solve

__all__ = ["coiflet", "daubechies", "symlet"]

# Which zeros of a symlet lie outside of the unit circle, from the smallest pair (of z and 1 / z) on.
_OUTSIDE = {
    2: "0", 3: "0", 4: "01", 5: "10", 6: "101", 7: "100", 8: "0101", 9: "0110", 10: "10101", 11: "01100",
    12: "101010", 13: "001110", 14: "0011010", 15: "0011100", 16: "10011010", 17: "01110001", 18: "101100101",
    19: "001011100", 20: "1010011010",
}  # fmt: skip


@exactly
def daubechies(moments: int) -> list[Decimal]:
    """Return the Daubechies wavelet's filter: the shortest with so many vanishing moments, of minimum phase.

    The squared magnitude is the maximally flat half-band filter, and the spectral factor keeps the zeros inside the
    unit circle::

        abs(H(f))^2 = 2 cos^2N(pi f) P(sin^2(pi f)),   P(y) = sum_{k < N} binom(N - 1 + k, k) y^k

    Args:
        moments: The number N of vanishing moments, at least 1; the filter has 2N taps.

    References:
        Daubechies, "Orthonormal bases of compactly supported wavelets", Communications on Pure and Applied
        Mathematics 41(7), 1988, pages 909-996.
    """
    return _factor(moments, _inside(moments))


@exactly
def symlet(moments: int) -> list[Decimal]:
    """Return the least asymmetric filter with so many vanishing moments.

    It has the magnitude of `daubechies`; of each group of zeros (z and 1 / z, with their conjugates) the one is taken
    that brings the phase of the whole closest to a line (within 0.1 % of the least mean square deviation).

    Args:
        moments: The number N of vanishing moments, 2 to 20; the filter has 2N taps.

    References:
        Daubechies, "Ten Lectures on Wavelets", 1992, section 8.1.1, page 254.
    """
    groups = sorted((z for z in _inside(moments) if z.im >= 0), key=abs)
    zeros = []
    for z, outside in zip(groups, _OUTSIDE[moments], strict=True):
        zero = Complex(1) / z if outside == "1" else z
        zeros += [zero] if zero.im == 0 else [zero, zero.conjugate()]
    return _factor(moments, zeros)


@exactly
def coiflet(order: int) -> list[Decimal]:
    """Return the coiflet of an order K: 2K moments of the wavelet vanish, and 2K - 1 of the scaling function.

    With the moments built in, what is left is a polynomial F of degree 2K - 1, which makes the filter orthonormal::

        H = sqrt(2) c^K (sum_{k < K} binom(K - 1 + k, k) s^k + s^K F),   c = cos^2(pi f), s = sin^2(pi f)

    Newton's method finds F from F = 0, the interpolating filter (3K equations, 2K unknowns, K of them redundant).

    Args:
        order: The order K, at least 1; the filter has 6K taps.

    References:
        Daubechies, "Orthonormal bases of compactly supported wavelets II", SIAM Journal on Mathematical Analysis
        24(2), 1993, pages 499-519.
    """
    length, unknowns, zero, quarter = 6 * order, 2 * order, Decimal(0), Decimal(1) / 4
    cosine, sine = [quarter, 2 * quarter, quarter], [-quarter, 2 * quarter, -quarter]
    taps = [zero] * length
    for k in range(order):
        for i, x in enumerate(multiply(power(cosine, order), power(sine, k))):
            taps[order - k + i] += math.comb(order - 1 + k, k) * x
    free = multiply(power(cosine, order), power(sine, order))
    for _ in range(50):
        error, slopes = [], []
        for shift in range(0, length, 2):
            error.append(2 * _dot(taps, taps[shift:]) - (shift == 0))
            slope = [
                (taps[i - shift] if i >= shift else zero) + (taps[i + shift] if i + shift < length else zero)
                for i in range(length)
            ]
            slopes.append([2 * _dot(free, slope[n:]) for n in range(unknowns)])
        columns = list(zip(*slopes, strict=True))
        move = solve([[_dot(a, b) for b in columns] for a in columns], [_dot(a, error) for a in columns])
        for n, x in enumerate(move):
            for i, y in enumerate(free):
                taps[n + i] -= x * y
        if max(map(abs, move)) < Decimal(10) ** -40:
            return [x * Decimal(2).sqrt() for x in taps]
    raise RuntimeError(f"the equations of the coiflet of order {order} did not converge")


def _inside(moments: int) -> list[Complex]:
    """The zeros of the minimum-phase factor, apart from those at -1: y = (2 - z - 1 / z) / 4 is a root of P."""
    zeros = []
    for y in roots([math.comb(moments - 1 + k, k) for k in reversed(range(moments))]):
        middle = Complex(1) - Complex(2) * y
        distance = (middle * middle - Complex(1)).sqrt()
        zeros.append(min(middle + distance, middle - distance, key=abs))
    return zeros


def _factor(moments: int, zeros: list[Complex]) -> list[Decimal]:
    """The filter with these zeros, and N at Nyquist, whose taps sum to sqrt 2."""
    taps = from_roots([Complex(-1)] * moments + zeros)
    gain = Decimal(2).sqrt() / sum(taps)
    return [gain * x for x in taps]


def _dot(a: Sequence[Decimal], b: Sequence[Decimal]) -> Decimal:
    return sum((x * y for x, y in zip(a, b, strict=False)), Decimal(0))
