"""Coefficients of one state and matrices of two by two, as tuples of numbers row by row: (a,), or (m00, m01, m10, m11).

Those of order two are (a_1, a_2), which stand for the companion [[a_1, a_2], [1, 0]].
"""

import triton
import triton.language as tl


@triton.jit
def cast(numbers, DTYPE: tl.constexpr):
    """The numbers in another type."""
    found = ()
    for i in tl.static_range(len(numbers)):
        found += (numbers[i].to(DTYPE),)
    return found


@triton.jit
def unless(begun, numbers, others):
    """The numbers, but others where a signal begins: no product with 0, since what is before may be infinite."""
    found = ()
    for i in tl.static_range(len(numbers)):
        found += (tl.where(begun, others[i], numbers[i]),)
    return found


@triton.jit
def stepped(m, y, u):
    """The states after a sample: of order two, the new one and the one before."""
    if len(m) == 1:
        found = (m[0] * y[0] + u[0],)
    elif len(m) == 2:
        found = m[0] * y[0] + (m[1] * y[1] + u[0]), y[0]
    else:
        found = m[0] * y[0] + (m[1] * y[1] + u[0]), m[2] * y[0] + (m[3] * y[1] + u[1])
    return found


@triton.jit
def product(m, columns, zero):
    """A matrix times one that is given by its columns, by its columns."""
    if len(columns) == 1:
        found = (stepped(m, columns[0], (zero,)),)
    else:
        found = stepped(m, columns[0], (zero, zero)), stepped(m, columns[1], (zero, zero))
    return found


@triton.jit
def rows(columns):
    """The numbers of a matrix row by row."""
    found = columns[0]
    if len(columns) == 2:
        found = columns[0][0], columns[1][0], columns[0][1], columns[1][1]
    return found


@triton.jit
def power(m, doublings):
    """A matrix to the power 2^doublings, in float64: the error of a power is an error of the pole."""
    zero = tl.zeros(m[0].shape, tl.float64)
    whole = cast(m, tl.float64)
    if len(m) == 2:
        whole += zero + 1, zero
    for _ in range(doublings):
        columns = (whole,) if len(m) == 1 else ((whole[0], whole[2]), (whole[1], whole[3]))
        whole = rows(product(whole, columns, zero))
        if len(m) > 1:  # infinity less infinity is NaN
            whole = bounded(whole, 0.0, 1e150)
    return bounded(whole, 1e-31, 1.8e19)


@triton.jit
def bounded(numbers, LEAST: tl.constexpr, MOST: tl.constexpr):
    """0 where a number is next to nothing, and finite: 0 times infinity is NaN."""
    found = ()
    for i in tl.static_range(len(numbers)):
        number = tl.where(tl.abs(numbers[i]) < LEAST, 0.0, numbers[i])
        found += (tl.where(number > MOST, MOST, tl.where(number < -MOST, -MOST, number)),)
    return found
