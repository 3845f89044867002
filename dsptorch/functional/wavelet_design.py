"""The low-pass filters of wavelets, computed from their definitions.

Each function returns the synthesis filter `rec_lo` (`biorthogonal` returns `dec_lo` and `rec_lo`) in decimals of 100
digits. At least the first 50 digits are correct.
"""

import math
from collections.abc import Sequence
from decimal import Decimal

from dsptorch.functional.exact import Complex, exactly, from_roots, multiply, power, roots, solve

__all__ = ["BIORTHOGONAL", "biorthogonal", "coiflet", "daubechies", "symlet"]

# For each symlet, which of its zeros lie outside the unit circle, in order from the smallest pair (z and 1 / z).
_OUTSIDE = {
    2: "0", 3: "0", 4: "01", 5: "10", 6: "101", 7: "100", 8: "0101", 9: "0110", 10: "10101", 11: "01100",
    12: "101010", 13: "001110", 14: "0011010", 15: "0011100", 16: "10011010", 17: "01110001", 18: "101100101",
    19: "001011100", 20: "1010011010",
}  # fmt: skip

# For each biorthogonal wavelet: the numbers of zeros at -1 of rec_lo and dec_lo, and which groups of the other zeros
# belong to rec_lo, counted from the group with the smallest modulus.
BIORTHOGONAL: dict[str, tuple[int, int, tuple[int, ...]]] = {
    f"{rec}.{dec}": (rec, dec, ())
    for rec, decs in ((1, (1, 3, 5)), (2, (2, 4, 6, 8)), (3, (1, 3, 5, 7, 9)))
    for dec in decs
} | {"4.4": (4, 4, (0,)), "5.5": (6, 4, (0,)), "6.8": (6, 8, (1,))}


@exactly
def daubechies(moments: int) -> list[Decimal]:
    """Return the filter of a Daubechies wavelet: the shortest with a given number of vanishing moments, minimum phase.

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
    """Return the least asymmetric filter with a given number of vanishing moments.

    It has the magnitude response of `daubechies`. From each group of zeros (z and 1 / z, with their conjugates) it
    takes the one that makes the total phase closest to linear (within 0.1 % of the least mean square deviation).

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
    """Return the coiflet of order K: 2K moments of the wavelet vanish, and 2K - 1 moments of the scaling function.

    The form below satisfies the moment conditions; a polynomial F of degree 2K - 1 makes the filter orthonormal::

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


@exactly
def biorthogonal(wavelet: str) -> tuple[list[Decimal], list[Decimal]]:
    """Return dec_lo and rec_lo of a symmetric biorthogonal wavelet, padded with zeros to one even length.

    Their product is the maximally flat half-band filter. For spline wavelets rec_lo is a B-spline, and all zeros other
    than those at -1 belong to dec_lo. "4.4", "5.5" and "6.8" divide the other zeros between the filters, in groups of
    z, 1 / z and their conjugates::

        rec_lo(z) ~ (1 + z)^N R(z),   dec_lo(z) ~ (1 + z)^M Q(z),   R Q = P((2 - z - 1 / z) / 4),   N + M = 2L

    Args:
        wavelet: The two numbers of its name, such as "2.2".

    References:
        Cohen, Daubechies and Feauveau, "Biorthogonal bases of compactly supported wavelets", Communications on Pure and
        Applied Mathematics 45(5), 1992, pages 485-560.
    """
    rec, dec, own = BIORTHOGONAL[wavelet]
    groups = sorted((z for z in _inside((rec + dec) // 2) if z.im >= 0), key=abs)
    filters = []
    for count, picked in ((dec, False), (rec, True)):
        zeros = []
        for i, z in enumerate(groups):
            if (i in own) == picked:
                pair = [z, Complex(1) / z]
                zeros += pair if z.im == 0 else pair + [other.conjugate() for other in pair]
        filters.append(_factor(count, zeros))
    longest = max(map(len, filters))
    length, odd = longest + longest % 2, longest % 2
    padded = []
    for taps, centre in zip(filters, (length // 2, length // 2 - odd), strict=True):
        before = centre - len(taps) // 2
        zero = [Decimal(0)]
        padded.append(zero * before + taps + zero * (length - before - len(taps)))
    return padded[0], padded[1]


def _inside(moments: int) -> list[Complex]:
    """The zeros of the minimum-phase factor other than those at -1: y = (2 - z - 1 / z) / 4 is a root of P."""
    zeros = []
    for y in roots([math.comb(moments - 1 + k, k) for k in reversed(range(moments))]):
        middle = Complex(1) - Complex(2) * y
        distance = (middle * middle - Complex(1)).sqrt()
        zeros.append(min(middle + distance, middle - distance, key=abs))
    return zeros


def _factor(moments: int, zeros: list[Complex]) -> list[Decimal]:
    """The filter with these zeros and N zeros at Nyquist, scaled so that the taps sum to sqrt 2."""
    taps = from_roots([Complex(-1)] * moments + zeros)
    gain = Decimal(2).sqrt() / sum(taps)
    return [gain * x for x in taps]


def _dot(a: Sequence[Decimal], b: Sequence[Decimal]) -> Decimal:
    return sum((x * y for x, y in zip(a, b, strict=False)), Decimal(0))
