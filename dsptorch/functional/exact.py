"""Arithmetic in 100 decimal digits: complex numbers, roots of polynomials, small linear systems.

Some computations lose twenty digits, such as the roots of a binomial polynomial of degree 37. They run once, in
`decimal`, so that the result has all digits of a float64. Polynomials are lists of coefficients, highest power first.
"""

from collections.abc import Callable, Sequence
from decimal import Context, Decimal, localcontext
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

__all__ = ["Complex", "exactly", "from_roots", "multiply", "power", "roots", "solve"]

_DIGITS = 100
_TINY = Decimal(10) ** -60
_P = ParamSpec("_P")
_R = TypeVar("_R")


def exactly(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Decorate a function so that its decimals have 100 digits in any decimal context of the caller."""

    @wraps(function)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with localcontext(Context(prec=_DIGITS)):
            return function(*args, **kwargs)

    return run


class Complex:
    """A complex number with decimal parts."""

    __slots__ = ("im", "re")

    def __init__(self, re: Decimal | int, im: Decimal | int = 0) -> None:
        self.re, self.im = Decimal(re), Decimal(im)

    def __add__(self, other: "Complex") -> "Complex":
        return Complex(self.re + other.re, self.im + other.im)

    def __sub__(self, other: "Complex") -> "Complex":
        return Complex(self.re - other.re, self.im - other.im)

    def __mul__(self, other: "Complex") -> "Complex":
        return Complex(self.re * other.re - self.im * other.im, self.re * other.im + self.im * other.re)

    def __truediv__(self, other: "Complex") -> "Complex":
        product, square = self * other.conjugate(), (other * other.conjugate()).re
        return Complex(product.re / square, product.im / square)

    def __abs__(self) -> Decimal:
        return (self.re * self.re + self.im * self.im).sqrt()

    def conjugate(self) -> "Complex":
        """Return re - i im."""
        return Complex(self.re, -self.im)

    def sqrt(self) -> "Complex":
        """Return the square root whose real part is not negative."""
        size, none = abs(self), Decimal(0)
        re, im = max((size + self.re) / 2, none).sqrt(), max((size - self.re) / 2, none).sqrt()
        return Complex(re, im if self.im >= 0 else -im)


def roots(polynomial: Sequence[int]) -> list[Complex]:
    """Return the roots of a polynomial with simple roots, by Aberth's method started from their float64 values."""
    degree = len(polynomial) - 1
    # On the CPU, not on the default device: the values are read.
    companion = torch.zeros(degree, degree, dtype=torch.float64, device="cpu")
    for i, coefficient in enumerate(polynomial[1:]):
        companion[0, i] = -coefficient / polynomial[0]
        if i:
            companion[i, i - 1] = 1.0
    found = [Complex(Decimal(z.real), Decimal(z.imag)) for z in torch.linalg.eigvals(companion).tolist()]
    for _ in range(50):
        largest = Decimal(0)
        for i, z in enumerate(found):
            value, slope, others = Complex(0), Complex(0), Complex(0)
            for coefficient in polynomial:
                slope, value = slope * z + value, value * z + Complex(coefficient)
            for j, other in enumerate(found):
                if i != j:
                    others = others + Complex(1) / (z - other)
            newton = value / slope
            move = newton / (Complex(1) - newton * others)
            found[i] = z - move
            largest = max(largest, abs(move) / abs(z))
        if largest < _TINY:
            return [Complex(z.re) if abs(z.im) < _TINY * abs(z) else z for z in found]
    raise RuntimeError(f"the roots of the polynomial {list(polynomial)} did not converge")


def from_roots(zeros: Sequence[Complex]) -> list[Decimal]:
    """Return the real parts of the coefficients of prod_i (z - zeros[i])."""
    product = [Complex(1)]
    for zero in zeros:
        longer = [*product, Complex(0)]
        for i, coefficient in enumerate(product):
            longer[i + 1] = longer[i + 1] - zero * coefficient
        product = longer
    return [coefficient.re for coefficient in product]


def multiply(a: Sequence[Decimal], b: Sequence[Decimal]) -> list[Decimal]:
    """Return the product of two polynomials."""
    product = [Decimal(0)] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            product[i + j] += x * y
    return product


def power(polynomial: Sequence[Decimal], exponent: int) -> list[Decimal]:
    """Return a power of a polynomial."""
    product = [Decimal(1)]
    for _ in range(exponent):
        product = multiply(product, polynomial)
    return product


def solve(matrix: Sequence[Sequence[Decimal]], right: Sequence[Decimal]) -> list[Decimal]:
    """Solve a square linear system by Gauss elimination with partial pivoting."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    size = len(rows)
    for i in range(size):
        pivot = max(range(i, size), key=lambda r: abs(rows[r][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for r in range(i + 1, size):
            factor = rows[r][i] / rows[i][i]
            rows[r] = [x - factor * y for x, y in zip(rows[r], rows[i], strict=True)]
    solution = [Decimal(0)] * size
    for i in reversed(range(size)):
        known = sum((rows[i][j] * solution[j] for j in range(i + 1, size)), Decimal(0))
        solution[i] = (rows[i][size] - known) / rows[i][i]
    return solution
