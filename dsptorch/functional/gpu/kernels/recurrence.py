"""Linear recurrences of one state a channel, of two coupled ones, or of one that depends on the two before it.

Time is cut into chunks, and a thread goes through a chunk sample by sample, the states of its channels in registers.
The last states of all chunks obey a recurrence of the same kind, whose coefficients are those of whole chunks.

A thread that waits for every sample by itself waits most of the time, and a compiler moves no load over a store. So
each sample is loaded UNROLL samples before it is used. Channels and rows are 64-bit numbers: times a stride, they may
be more than 2^31.
"""

import triton
import triton.language as tl

from dsptorch.functional.gpu.kernels.matrices import bounded, cast, power, product, rows, stepped, unless


@triton.jit
def _read(places, strides, has_run, inside, ORDER: tl.constexpr, WIDTH: tl.constexpr, VARYING: tl.constexpr):
    """A sample, its coefficients row by row, whether a signal begins, and others: what is outside is never stored."""
    x, a, begins, others = places
    x_n, a_k, a_i, a_j = strides
    matrix = ()
    sample = (tl.load(x, inside),)
    if WIDTH == 2:
        sample += (tl.load(x + x_n, inside),)
    if VARYING:
        matrix = _matrix(a, a_k, a_i, a_j, inside, ORDER, WIDTH)
    return sample, matrix, _loaded(begins, has_run), _loaded(others, inside)


@triton.jit
def _loaded(places, mask):
    found = ()
    for i in tl.static_range(len(places)):
        found += (tl.load(places[i], mask),)
    return found


@triton.jit
def _matrix(a, a_k, a_i, a_j, mask, ORDER: tl.constexpr, WIDTH: tl.constexpr):
    if WIDTH == 2:
        numbers = (
            tl.load(a, mask),
            tl.load(a + a_j, mask),
            tl.load(a + a_i, mask),
            tl.load(a + a_i + a_j, mask),
        )
    elif ORDER == 2:
        numbers = tl.load(a, mask), tl.load(a + a_k, mask)
    else:
        numbers = (tl.load(a, mask),)
    return numbers


@triton.jit
def _moved(places, steps):
    x, a, begins, others = places
    return x + steps[0], a + steps[1], _all_moved(begins, steps[2]), _all_moved(others, steps[3])


@triton.jit
def _all_moved(places, step):
    found = ()
    for i in tl.static_range(len(places)):
        found += (places[i] + step,)
    return found


@triton.jit
def chunk_kernel(  # noqa: PLR0912, PLR0915  # of constants, most of which the compiler takes once
    x,
    a,
    gain,
    begins,
    first,
    before,
    out,
    last,
    through,
    seen,
    past,
    signal,
    of_a,
    of_gain,
    time,
    channels,
    chunk,
    doublings,
    chunks,
    runs,
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
    ORDER: tl.constexpr,
    WIDTH: tl.constexpr,
    VARYING: tl.constexpr,
    REVERSE: tl.constexpr,
    FROM_REST: tl.constexpr,
    SUM: tl.constexpr,
    UNROLL: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """BLOCK_R of the `runs` = batch * chunks chunks, neighbours in time, of BLOCK_C channels. n = ORDER * WIDTH.

    All states go into `out`, and the last ones of the signal into `last`, (batch, WIDTH, channels). The states before
    each chunk are `before`, (batch, chunks - 1, n, channels), and before the first one `first`, (batch, n, channels).

    From rest, the last states of each chunk go into `last`, (batch, chunks, n, channels), and what a whole chunk
    multiplies by into `through`: (batch, chunks, n, n, channels) if the coefficients vary, else (n, n, channels).
    `seen`, (batch, chunks), is whether a signal begins in the chunk. All chunks are whole.

    If this is the adjoint of a recurrence whose states are `past` and whose input is `signal`, both contiguous, the
    gain is that of `out`, and the sums over each chunk of the gradients in `a` and in the gain go into `of_a` and
    `of_gain`, (batch, chunks, channels).
    """
    program = tl.program_id(0)
    channel = (program % channel_tiles * BLOCK_C + tl.arange(0, BLOCK_C)).to(tl.int64)[None, :]
    tile = program // channel_tiles + 0 * runs  # of 64 bits where `runs` is
    run = tile * BLOCK_R + tl.arange(0, BLOCK_R)[:, None]
    number, row = run % chunks, (run // chunks).to(tl.int64)
    has_run, has_channel = run < runs, channel < channels
    start = number * chunk
    size = tl.minimum(chunk, time - start)
    at = (time - 1 - start if REVERSE else start).to(tl.int64)

    states: tl.constexpr = ORDER * WIDTH
    zero = tl.zeros((BLOCK_R, BLOCK_C), SUM)
    any_begun = tl.zeros((BLOCK_R, BLOCK_C), tl.int32)
    columns = ((zero + 1,),) if states == 1 else ((zero + 1, zero), (zero, zero + 1))
    state = ()
    for i in tl.static_range(states):
        one = zero
        if before is not None:
            place = ((row * (chunks - 1) + number - 1) * states + i) * channels + channel
            one += tl.load(before + place, has_run & has_channel & (number > 0), 0.0).to(SUM)
        if first is not None:
            place = (row * states + i) * channels + channel
            one += tl.load(first + place, has_run & has_channel & (number == 0), 0.0).to(SUM)
        state += (one,)

    x += row * x_b + at * x_t + channel * x_c
    a += channel * a_c
    if VARYING:
        a += row * a_b + at * a_t
    else:
        m = cast(_matrix(a, a_k, a_i, a_j, has_channel, ORDER, WIDTH), SUM)
    if gain is not None:
        g = tl.load(gain + channel * gain_c, has_channel).to(SUM)
    place_y = (row * time + at) * (WIDTH * channels) + channel
    y = out
    if not FROM_REST:
        y += place_y
    marks, others = (), ()
    if begins is not None:
        marks += (begins + row * time + at,)
    if past is not None:
        others += (past + place_y,)
    if signal is not None:
        others += (signal + place_y,)
    sign: tl.constexpr = -1 if REVERSE else 1
    y_step = sign * WIDTH * tl.cast(channels, tl.int64)
    steps = sign * tl.cast(x_t, tl.int64), sign * tl.cast(a_t, tl.int64), sign, y_step
    places, strides = (x, a, marks, others), (x_n, a_k, a_i, a_j)
    sum_a, sum_gain = zero, zero

    coming = ()
    for k in tl.static_range(UNROLL):
        is_run = has_run & (k < size)
        coming += (_read(places, strides, is_run, is_run & has_channel, ORDER, WIDTH, VARYING),)
        places = _moved(places, steps)
    for begin in range(0, tl.minimum(chunk, time), UNROLL):
        left = size - begin
        now = coming
        coming = ()
        for k in tl.static_range(UNROLL):
            sample, matrix, border, other = now[k]
            is_run = has_run & (k < left)
            u = cast(sample, SUM)
            if gain is not None and past is None:
                u = (u[0] * g,) if WIDTH == 1 else (u[0] * g, u[1] * g)
            if ORDER == 2:
                u += (zero,)
            if VARYING:
                m = cast(matrix, SUM)
            follows = is_run
            if begins is not None:
                follows = is_run & (border[0] == 0)
                if FROM_REST:
                    any_begun |= tl.broadcast_to(border[0].to(tl.int32), (BLOCK_R, BLOCK_C))
            if past is not None:
                sum_a += tl.where(follows, state[0] * other[0].to(SUM), 0.0)
            state = stepped(m, state, u)
            if FROM_REST and VARYING:
                columns = product(m, columns, zero)
            if begins is not None:
                # Not a product with 0: what is before a border may be infinite.
                state = unless(border[0] != 0, state, u)
            if signal is not None:
                sum_gain += tl.where(is_run, state[0] * other[1].to(SUM), 0.0)
            is_next = has_run & (k + UNROLL < left)
            coming += (_read(places, strides, is_next, is_next & has_channel, ORDER, WIDTH, VARYING),)
            places = _moved(places, steps)
            if not FROM_REST:
                for i in tl.static_range(WIDTH):
                    value = state[i] * g if gain is not None and past is not None else state[i]
                    tl.store(y + i * channels, value.to(out.dtype.element_ty), is_run & has_channel)
                    if last is not None:
                        place = (row * WIDTH + i) * channels + channel
                        at_end = start + begin + k == time - 1
                        tl.store(last + place, state[i], is_run & has_channel & at_end)
                y += y_step

    run, inside = run.to(tl.int64), has_run & has_channel
    if past is not None:
        tl.store(of_a + run * channels + channel, sum_a, inside)
    if signal is not None:
        tl.store(of_gain + run * channels + channel, sum_gain, inside)
    if FROM_REST:
        for i in tl.static_range(states):
            tl.store(last + (run * states + i) * channels + channel, state[i], inside)
        if seen is not None:
            tl.store(seen + run + 0 * channel, any_begun != 0, inside & (channel == 0))
        if VARYING:
            numbers = bounded(rows(columns), 0.0, 1.8e19)
            for i in tl.static_range(states * states):
                tl.store(through + (run * states * states + i) * channels + channel, numbers[i], inside)
        elif tile == 0:
            whole = power(m, doublings)
            for i in tl.static_range(states * states):
                tl.store(through + i * channels + channel, whole[i].to(through.dtype.element_ty), has_channel)
