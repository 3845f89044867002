"""The periodic filter of neighbouring lags, its adjoint and its correlation: each sample is read and converted once.

A thread goes through a run of time. It holds the taps of its channels, or their sums, and the samples that the next
output needs in registers, and a block of the samples after these is on its way from memory meanwhile.
"""

import triton
import triton.language as tl


@triton.jit
def samples(
    signal,
    apart,
    apart_f,
    time,
    length,
    has_channel,
    SUM: tl.constexpr,
    COUNT: tl.constexpr,
    EACH: tl.constexpr,
):
    """COUNT samples of each run, of EACH numbers, `time` being that of the first: 0 outside the signal."""
    found = ()
    for k in tl.static_range(COUNT):
        # As an unsigned number, a time before the signal is one far after it.
        inside = ((time + k).to(tl.uint32) < tl.cast(length, tl.uint32))[:, None] & has_channel[None, :]
        for f in tl.static_range(EACH):
            found = found + (tl.load(signal + k * apart + f * apart_f, inside, 0.0).to(SUM),)
    return found


@triton.jit
def window_filter_kernel(
    signal,
    weight,
    out,
    length,
    reach,
    oldest,
    turn,
    blocks,
    run_tiles,
    channels,
    channel_tiles,
    signal_b,
    signal_t,
    signal_c,
    weight_b,
    weight_p,
    weight_i,
    weight_c,
    ADJOINT: tl.constexpr,
    SUM: tl.constexpr,
    PERIOD: tl.constexpr,
    TAPS: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """BLOCK_R runs of `blocks` blocks of BLOCK_T outputs; BLOCK_T is a multiple of the period.

        out[b, t, c] = sum_k  weight[t mod P, TAPS - 1 - k, c] * signal[b, t + oldest + k, c]
        adjoint: out[b, t, c] = sum_k  weight[(t + turn + k) mod P, k, c] * signal[b, t + oldest + k, c]

    `length` and `reach` are the samples of `out` and of `signal`, and `turn` is `oldest` modulo the period.
    """
    program = tl.program_id(0)
    channel = (program % channel_tiles * BLOCK_C + tl.arange(0, BLOCK_C)).to(tl.int64)
    program = program // channel_tiles
    time = (program % run_tiles * BLOCK_R + tl.arange(0, BLOCK_R)) * (blocks * BLOCK_T)
    row = (program // run_tiles).to(tl.int64)
    has_channel = channel < channels
    weight += row * weight_b + channel * weight_c
    taps = ()
    for n in tl.static_range(PERIOD * TAPS):
        phase = (n // TAPS + turn + n % TAPS) % PERIOD if ADJOINT else n // TAPS
        i = n % TAPS if ADJOINT else TAPS - 1 - n % TAPS
        tap = tl.load(weight + tl.cast(phase, tl.int64) * weight_p + i * weight_i, has_channel, 0.0)
        taps = taps + (tap.to(SUM)[None, :],)
    signal_t = tl.cast(signal_t, tl.int64)
    out_t = tl.cast(channels, tl.int64)
    source = time + oldest
    signal += row * signal_b + source[:, None].to(tl.int64) * signal_t + channel[None, :] * signal_c
    out += (row * length + time[:, None]) * out_t + channel[None, :]
    window = samples(signal, signal_t, 0, source, reach, has_channel, SUM, TAPS - 1, 1)
    signal += (TAPS - 1) * signal_t
    source += TAPS - 1
    for _block in range(blocks):
        window = window + samples(signal, signal_t, 0, source, reach, has_channel, SUM, BLOCK_T, 1)
        for u in tl.static_range(BLOCK_T):
            total = taps[u % PERIOD * TAPS] * window[u]
            for k in tl.static_range(1, TAPS):
                total += taps[u % PERIOD * TAPS + k] * window[u + k]
            inside = (time + u < length)[:, None] & has_channel[None, :]
            tl.store(out + u * out_t, total.to(out.dtype.element_ty), inside)
        window = window[BLOCK_T:]
        time += BLOCK_T
        source += BLOCK_T
        signal += BLOCK_T * signal_t
        out += BLOCK_T * out_t


@triton.jit
def window_correlation_kernel(
    signal,
    gradient,
    out,
    length,
    reach,
    oldest,
    blocks,
    run_tiles,
    units,
    share,
    splits,
    channels,
    channel_tiles,
    signal_b,
    signal_t,
    signal_c,
    gradient_b,
    gradient_t,
    gradient_c,
    SUM: tl.constexpr,
    PERIOD: tl.constexpr,
    TAPS: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """The part of one program in the derivative in all taps, over `share` of the `units` of a group of rows.

        out[g, s, p, TAPS - 1 - k, c] = sum over b, t, t mod P = p  gradient[b, t, c] * signal[b, t + oldest + k, c]

    A unit is BLOCK_R runs of a row. Each group g has taps of its own; the caller adds the splits s in their order.
    """
    program = tl.program_id(0)
    channel = (program % channel_tiles * BLOCK_C + tl.arange(0, BLOCK_C)).to(tl.int64)
    program = program // channel_tiles
    split, group = program % splits, program // splits
    has_channel = channel < channels
    sums = ()
    for _n in tl.static_range(PERIOD * TAPS):
        sums = sums + (tl.zeros((BLOCK_R, BLOCK_C), SUM),)
    signal_t = tl.cast(signal_t, tl.int64)
    gradient_t = tl.cast(gradient_t, tl.int64)
    for unit in range(split * share, tl.minimum(split * share + share, units)):
        row = (group * (units // run_tiles) + unit // run_tiles).to(tl.int64)
        time = (unit % run_tiles * BLOCK_R + tl.arange(0, BLOCK_R)) * (blocks * BLOCK_T)
        source = time + oldest
        x = signal + row * signal_b + source[:, None].to(tl.int64) * signal_t + channel[None, :] * signal_c
        v = gradient + row * gradient_b
        v += time[:, None].to(tl.int64) * gradient_t + channel[None, :] * gradient_c
        window = samples(x, signal_t, 0, source, reach, has_channel, SUM, TAPS - 1, 1)
        x += (TAPS - 1) * signal_t
        source += TAPS - 1
        for _block in range(blocks):
            window = window + samples(x, signal_t, 0, source, reach, has_channel, SUM, BLOCK_T, 1)
            gradients = samples(v, gradient_t, 0, time, length, has_channel, SUM, BLOCK_T, 1)
            added = ()
            for n in tl.static_range(PERIOD * TAPS):
                total = sums[n]
                for u in tl.static_range(n // TAPS, BLOCK_T, PERIOD):
                    total += gradients[u] * window[u + n % TAPS]
                added = added + (total,)
            sums = added
            window = window[BLOCK_T:]
            time += BLOCK_T
            source += BLOCK_T
            x += BLOCK_T * signal_t
            v += BLOCK_T * gradient_t
    out += program.to(tl.int64) * (PERIOD * TAPS) * channels + channel
    for n in tl.static_range(PERIOD * TAPS):
        tap = n // TAPS * TAPS + TAPS - 1 - n % TAPS
        tl.store(out + tl.cast(tap, tl.int64) * channels, tl.sum(sums[n], 0), has_channel)
