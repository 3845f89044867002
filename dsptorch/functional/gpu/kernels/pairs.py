"""Two coupled states a channel, or one that depends on the two before it: a recurrence with matrices of 2 by 2.

Resonators and second-order sections. Time is cut into chunks, and a program goes through one sample by sample, the
states of its channels in registers: `pair_chunk_kernel` from rest, `pair_carry_kernel` from chunk to chunk, and
`pair_chunk_kernel` again, from the right states. Channels and rows are 64-bit numbers, as in `recurrence`.
"""

import triton
import triton.language as tl

from dsptorch.functional.gpu.kernels.recurrence import bounded


@triton.jit
def _product(p00, p01, p10, p11, q00, q01, q10, q11):
    return (
        p00 * q00 + p01 * q10,
        p00 * q01 + p01 * q11,
        p10 * q00 + p11 * q10,
        p10 * q01 + p11 * q11,
    )


@triton.jit
def _matrix(a, a_k, a_i, a_j, mask, COUPLED: tl.constexpr):
    """[[a_00, a_01], [a_10, a_11]], or the companion [[a_1, a_2], [1, 0]]."""
    if COUPLED:
        m00, m01 = tl.load(a, mask, 0.0), tl.load(a + a_j, mask, 0.0)
        m10, m11 = tl.load(a + a_i, mask, 0.0), tl.load(a + a_i + a_j, mask, 0.0)
    else:
        m00, m01 = tl.load(a, mask, 0.0), tl.load(a + a_k, mask, 0.0)
        m10, m11 = tl.full(m00.shape, 1.0, m00.dtype), tl.full(m00.shape, 0.0, m00.dtype)
    return m00, m01, m10, m11


@triton.jit
def pair_chunk_kernel(  # noqa: PLR0912, PLR0915  # of constants, most of which the compiler takes once
    x,
    a,
    gain,
    begins,
    states,
    out,
    ends,
    through,
    time,
    channels,
    chunk,
    chunks,
    channel_tiles,
    x_b,
    x_t,
    x_n,
    x_c,
    a_b,
    a_t,
    a_k,
    a_i,
    a_j,
    a_c,
    gain_c,
    COUPLED: tl.constexpr,
    VARYING: tl.constexpr,
    GAIN: tl.constexpr,
    SEGMENTS: tl.constexpr,
    REVERSE: tl.constexpr,
    FROM_REST: tl.constexpr,
    SUM: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """One chunk of some channels, as `chunk_kernel` of `recurrence`.

    `states` and, from rest, `ends` are (batch, chunks, 2, channels); otherwise `ends` is (batch, n, channels), n being
    2 if COUPLED and else 1. `through`, (batch, chunks, 4, channels), is the matrix of a whole chunk if the coefficients
    vary; if not, its first number is 0 if a signal begins in the chunk, and else 1.
    """
    program = tl.program_id(0)
    channel = (program % channel_tiles * BLOCK_C + tl.arange(0, BLOCK_C)).to(tl.int64)
    program = program // channel_tiles
    number, row = program % chunks, (program // chunks).to(tl.int64)
    has_channel = channel < channels
    place = (row * chunks + number) * 2 * channels + channel
    first, second = tl.zeros((BLOCK_C,), SUM), tl.zeros((BLOCK_C,), SUM)
    if not FROM_REST:
        first += tl.load(states + place, has_channel, 0.0).to(SUM)
        second += tl.load(states + place + channels, has_channel, 0.0).to(SUM)
    p00, p01 = tl.full((BLOCK_C,), 1.0, SUM), tl.zeros((BLOCK_C,), SUM)
    p10, p11 = tl.zeros((BLOCK_C,), SUM), tl.full((BLOCK_C,), 1.0, SUM)
    a += channel * a_c
    if not VARYING:
        m00, m01, m10, m11 = _matrix(a, a_k, a_i, a_j, has_channel, COUPLED)
        m00, m01, m10, m11 = m00.to(SUM), m01.to(SUM), m10.to(SUM), m11.to(SUM)
    if GAIN:
        g = tl.load(gain + channel * gain_c, has_channel, 0.0).to(SUM)
    width: tl.constexpr = 2 if COUPLED else 1
    for order in range(number * chunk, tl.minimum(number * chunk + chunk, time)):
        at = tl.cast(time - 1 - order if REVERSE else order, tl.int64)
        place_x = x + row * x_b + at * x_t + channel * x_c
        u = tl.load(place_x, has_channel, 0.0).to(SUM)
        v = tl.zeros((BLOCK_C,), SUM)
        if COUPLED:
            v = tl.load(place_x + x_n, has_channel, 0.0).to(SUM)
        if GAIN:
            u *= g
            v *= g
        if VARYING:
            m00, m01, m10, m11 = _matrix(a + row * a_b + at * a_t, a_k, a_i, a_j, has_channel, COUPLED)
            m00, m01, m10, m11 = m00.to(SUM), m01.to(SUM), m10.to(SUM), m11.to(SUM)
        before = first
        first = m00 * before + m01 * second + u
        second = m10 * before + m11 * second + v if COUPLED else before
        if SEGMENTS:
            # Not a product with 0: what is before a border may be infinite.
            begun = tl.load(begins + row * time + at).to(tl.int32) != 0
            first, second = tl.where(begun, u, first), tl.where(begun, v, second)
        if FROM_REST:
            if VARYING:
                p00, p01, p10, p11 = _product(m00, m01, m10, m11, p00, p01, p10, p11)
            if SEGMENTS:
                p00, p01 = tl.where(begun, 0.0, p00), tl.where(begun, 0.0, p01)
                p10, p11 = tl.where(begun, 0.0, p10), tl.where(begun, 0.0, p11)
        else:
            place_y = out + (row * time + at) * width * channels + channel
            tl.store(place_y, first.to(out.dtype.element_ty), has_channel)
            if COUPLED:
                tl.store(place_y + channels, second.to(out.dtype.element_ty), has_channel)
    if FROM_REST:
        tl.store(ends + place, first, has_channel)
        tl.store(ends + place + channels, second, has_channel)
        place = (row * chunks + number) * 4 * channels + channel
        tl.store(through + place, p00, has_channel)
        if VARYING:
            tl.store(through + place + channels, p01, has_channel)
            tl.store(through + place + 2 * channels, p10, has_channel)
            tl.store(through + place + 3 * channels, p11, has_channel)
    elif number == chunks - 1:
        tl.store(ends + row * width * channels + channel, first, has_channel)
        if COUPLED:
            tl.store(ends + (row * width + 1) * channels + channel, second, has_channel)


@triton.jit
def pair_carry_kernel(
    ends,
    through,
    a,
    states,
    first_state,
    channels,
    chunks,
    channel_tiles,
    doublings,
    a_k,
    a_i,
    a_j,
    a_c,
    COUPLED: tl.constexpr,
    VARYING: tl.constexpr,
    STATE: tl.constexpr,
    SUM: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """The state before each chunk, from those at the ends of chunks that were run from rest.

    A constant matrix is raised to the power 2^doublings, the samples of a chunk, in float64: the error of a power is an
    error of the pole.
    """
    program = tl.program_id(0)
    channel = (program % channel_tiles * BLOCK_C + tl.arange(0, BLOCK_C)).to(tl.int64)
    row = (program // channel_tiles).to(tl.int64)
    has_channel = channel < channels
    first, second = tl.zeros((BLOCK_C,), SUM), tl.zeros((BLOCK_C,), SUM)
    if STATE:
        first += tl.load(first_state + row * 2 * channels + channel, has_channel, 0.0).to(SUM)
        second += tl.load(first_state + (row * 2 + 1) * channels + channel, has_channel, 0.0).to(SUM)
    if not VARYING:
        m00, m01, m10, m11 = _matrix(a + channel * a_c, a_k, a_i, a_j, has_channel, COUPLED)
        m00, m01, m10, m11 = m00.to(tl.float64), m01.to(tl.float64), m10.to(tl.float64), m11.to(tl.float64)
        for _ in range(doublings):
            m00, m01, m10, m11 = _product(m00, m01, m10, m11, m00, m01, m10, m11)
            m00, m01 = bounded(m00, 0.0, 1e150), bounded(m01, 0.0, 1e150)
            m10, m11 = bounded(m10, 0.0, 1e150), bounded(m11, 0.0, 1e150)
        m00, m01 = bounded(m00, 1e-31, 1.8e19).to(SUM), bounded(m01, 1e-31, 1.8e19).to(SUM)
        m10, m11 = bounded(m10, 1e-31, 1.8e19).to(SUM), bounded(m11, 1e-31, 1.8e19).to(SUM)
    for number in range(chunks):
        place = (row * chunks + number) * 2 * channels + channel
        tl.store(states + place, first, has_channel)
        tl.store(states + place + channels, second, has_channel)
        end, other = (
            tl.load(ends + place, has_channel, 0.0),
            tl.load(ends + place + channels, has_channel, 0.0),
        )
        place = (row * chunks + number) * 4 * channels + channel
        flag = tl.load(through + place, has_channel, 0.0)
        if VARYING:
            m00, m01 = flag, tl.load(through + place + channels, has_channel, 0.0)
            m10 = tl.load(through + place + 2 * channels, has_channel, 0.0)
            m11 = tl.load(through + place + 3 * channels, has_channel, 0.0)
            seen = (m00 != 0) | (m01 != 0) | (m10 != 0) | (m11 != 0)
        else:
            seen = flag != 0
        before = first
        first = tl.where(seen, m00 * before + m01 * second + end, end)
        second = tl.where(seen, m10 * before + m11 * second + other, other)
