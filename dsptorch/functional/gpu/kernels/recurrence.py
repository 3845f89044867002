"""The linear recurrence of the first order, y[t] = a[t] y[t-1] + g x[t], one state a channel.

Channels and rows are 64-bit numbers: times a stride, they may be more than 2^31.

Time is cut into chunks, and a chunk into tiles. `chunk_kernel` runs every chunk from rest and keeps its last state;
`carry_kernel` leads these states from chunk to chunk; then `chunk_kernel` runs again, from the right states. Powers of
a constant coefficient come from `power_kernel`, in float64: the error of a power is an error of the pole.
"""

import triton
import triton.language as tl


@triton.jit
def _joined(a1, b1, a2, b2):
    return a2 * a1, a2 * b1 + b2


@triton.jit
def _joined_unless_begun(a1, b1, f1, a2, b2, f2):
    # Not a product with 0: what is before a border may be infinite.
    return tl.where(f2 != 0, a2, a2 * a1), tl.where(f2 != 0, b2, a2 * b1 + b2), f1 | f2


@triton.jit
def power_kernel(a, out, channels, doublings, a_c, BLOCK_T: tl.constexpr, BLOCK_C: tl.constexpr):
    """a^1 ... a^BLOCK_T, and after them a^(BLOCK_T * 2^doublings): (BLOCK_T + 1, channels)."""
    channel = (tl.program_id(0) * BLOCK_C + tl.arange(0, BLOCK_C)).to(tl.int64)
    has_channel = channel < channels
    factor = tl.load(a + channel * a_c, has_channel, 0.0).to(tl.float64)
    power = tl.full((BLOCK_C,), 1.0, tl.float64)
    for k in range(BLOCK_T):
        power *= factor
        tl.store(
            out + k * channels + channel, bounded(power, 1e-31, 1.8e19).to(out.dtype.element_ty), has_channel
        )
    for _ in range(doublings):
        power *= power
    tl.store(
        out + BLOCK_T * channels + channel,
        bounded(power, 1e-31, 1.8e19).to(out.dtype.element_ty),
        has_channel,
    )


@triton.jit
def bounded(power, LEAST: tl.constexpr, MOST: tl.constexpr):
    """0 where it is next to nothing, and finite: 0 times infinity is NaN."""
    power = tl.where(tl.abs(power) < LEAST, 0.0, power)
    return tl.minimum(tl.maximum(power, -MOST), MOST)


@triton.jit
def chunk_kernel(  # noqa: PLR0912, PLR0915  # of constants, most of which the compiler takes once
    x,
    a,
    powers,
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
    x_c,
    a_b,
    a_t,
    a_c,
    gain_c,
    VARYING: tl.constexpr,
    GAIN: tl.constexpr,
    SEGMENTS: tl.constexpr,
    REVERSE: tl.constexpr,
    FROM_REST: tl.constexpr,
    SUM: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """One chunk of some channels: all states into `out`, and the last of the signal into `ends`, (batch, channels).

    `states`, the state before each chunk, is (batch, chunks, channels). From rest, the last state of each chunk goes
    into `ends`, of that shape too, and what the state before it is multiplied by until its end into `through`: 0 if a
    signal begins in it.
    """
    program = tl.program_id(0)
    channel = (program % channel_tiles * BLOCK_C + tl.arange(0, BLOCK_C)).to(tl.int64)
    program = program // channel_tiles
    number, row = program % chunks, (program // chunks).to(tl.int64)
    has_channel = channel < channels
    place = (row * chunks + number) * channels + channel
    state = tl.zeros((BLOCK_C,), SUM)
    product = tl.full((BLOCK_C,), 1.0, SUM)
    if not FROM_REST:
        state += tl.load(states + place, has_channel, 0.0).to(SUM)
    if not VARYING:
        factor = tl.load(a + channel * a_c, has_channel, 0.0).to(SUM)
        steps = tl.load(
            powers + tl.arange(0, BLOCK_T)[:, None] * channels + channel[None, :], has_channel[None, :], 0.0
        )
    if GAIN:
        g = tl.load(gain + channel * gain_c, has_channel, 0.0).to(SUM)
    for start in range(number * chunk, tl.minimum(number * chunk + chunk, time), BLOCK_T):
        order = start + tl.arange(0, BLOCK_T)
        at = (time - 1 - order if REVERSE else order).to(tl.int64)
        inside = (order < time)[:, None] & has_channel[None, :]
        b = tl.load(x + row * x_b + at[:, None] * x_t + channel[None, :] * x_c, inside, 0.0).to(SUM)
        if GAIN:
            b *= g[None, :]
        if VARYING:
            # After the end, a state stays as it is.
            now = tl.load(a + row * a_b + at[:, None] * a_t + channel[None, :] * a_c, inside, 1.0).to(SUM)
        else:
            now = tl.broadcast_to(factor[None, :], (BLOCK_T, BLOCK_C))
        if SEGMENTS:
            flag = tl.load(begins + row * time + at, order < time, 0).to(tl.int32)
            begun = tl.broadcast_to(flag[:, None], (BLOCK_T, BLOCK_C))
            decay, y, begun = tl.associative_scan((now, b, begun), 0, _joined_unless_begun)
        else:
            decay, y = tl.associative_scan((now, b), 0, _joined)
        if not VARYING:
            decay = steps
        if SEGMENTS:
            decay = tl.where(begun != 0, 0.0, decay)
            y += tl.where(begun != 0, 0.0, decay * state[None, :])
        else:
            y += decay * state[None, :]
        # Of the signal, or of the tile.
        last = (order == tl.minimum(start + BLOCK_T, time) - 1)[:, None]
        state = tl.sum(tl.where(last, y, 0.0), 0)
        if FROM_REST:
            product *= tl.sum(tl.where(last, decay, 0.0), 0)
        else:
            place_y = (row * time + at[:, None]) * channels + channel[None, :]
            tl.store(out + place_y, y.to(out.dtype.element_ty), inside)
    if FROM_REST:
        tl.store(ends + place, state, has_channel)
        tl.store(through + place, product, has_channel)
    elif number == chunks - 1:
        tl.store(ends + row * channels + channel, state, has_channel)


@triton.jit
def carry_kernel(
    ends,
    through,
    states,
    powers,
    first,
    channels,
    chunks,
    channel_tiles,
    CONSTANT: tl.constexpr,
    STATE: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """The state before each chunk, from those at the ends of chunks that were run from rest.

    Not in the memory of these: another thread may still have to read one. The last row of `powers` is what a whole
    chunk multiplies by, exactly, unless a signal begins in it.
    """
    program = tl.program_id(0)
    channel = (program % channel_tiles * BLOCK_C + tl.arange(0, BLOCK_C)).to(tl.int64)
    row = (program // channel_tiles).to(tl.int64)
    has_channel = channel < channels
    state = tl.zeros((BLOCK_C,), states.dtype.element_ty)
    if STATE:
        state += tl.load(first + row * channels + channel, has_channel, 0.0).to(state.dtype)
    if CONSTANT:
        whole = tl.load(powers + channel, has_channel, 0.0)
    for number in range(chunks):
        place = (row * chunks + number) * channels + channel
        end = tl.load(ends + place, has_channel, 0.0)
        factor = tl.load(through + place, has_channel, 0.0)
        if CONSTANT:
            factor = tl.where(factor == 0, factor, whole)
        tl.store(states + place, state, has_channel)
        state = tl.where(factor == 0, end, factor * state + end)
