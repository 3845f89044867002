"""Filters between two rates of which one is 1, as windows in registers: the same three derivatives as of `frames`.

One of the two signals is coarse: M samples of the fine one stand beside one of it. A thread goes through a run of time,
and holds the taps, or their sums, and the samples that the next output needs; each sample is read and converted once.
A sample is some numbers, as in `frames`.
"""

import triton
import triton.language as tl

from dsptorch.functional.gpu.kernels.windows import samples


@triton.jit
def rate_window_kernel(
    signal,
    taps,
    out,
    length,
    reach,
    oldest,
    skipped,
    blocks,
    run_tiles,
    channels,
    channel_tiles,
    signal_b,
    signal_t,
    signal_f,
    signal_c,
    taps_kept,
    taps_summed,
    taps_i,
    taps_c,
    TABLE: tl.constexpr,
    COARSER: tl.constexpr,
    SHARED: tl.constexpr,
    SUM: tl.constexpr,
    FACTOR: tl.constexpr,
    TAPS: tl.constexpr,
    KEPT: tl.constexpr,
    SUMMED: tl.constexpr,
    WINDOW: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """BLOCK_R runs of `blocks` blocks of BLOCK_T coarse samples; the output is COARSER than the signal, or finer.

        coarser: out[m] = sum_k  taps[TABLE[k]] * signal[FACTOR m + oldest + k]
        finer: out[FACTOR m + p - skipped] = sum_k  taps[TABLE[p, k]] * signal[m + oldest + k]

    For each of KEPT numbers of the output, summed over the SUMMED numbers of a sample of the signal; k goes through a
    window of WINDOW samples. Where the table is negative, there is no tap. `length` and `reach` are the samples of
    `out` and of `signal`.
    """
    step: tl.constexpr = FACTOR if COARSER else 1  # samples of the signal to a coarse one
    steps: tl.constexpr = 1 if COARSER else FACTOR  # outputs to a coarse sample
    program = tl.program_id(0)
    channel = (program % channel_tiles * BLOCK_C + tl.arange(0, BLOCK_C)).to(tl.int64)
    program = program // channel_tiles
    coarse = (program % run_tiles * BLOCK_R + tl.arange(0, BLOCK_R)) * (blocks * BLOCK_T)
    row = (program // run_tiles).to(tl.int64)
    has_channel = channel < channels
    weights = ()
    for n in tl.static_range(KEPT * SUMMED * TAPS):
        place = taps + tl.cast(n // (SUMMED * TAPS), tl.int64) * taps_kept
        place += tl.cast(n // TAPS % SUMMED, tl.int64) * taps_summed + tl.cast(n % TAPS, tl.int64) * taps_i
        if SHARED:
            weights = weights + (tl.load(place).to(SUM),)
        else:
            weights = weights + (tl.load(place + channel * taps_c, has_channel, 0.0).to(SUM)[None, :],)
    signal_t = tl.cast(signal_t, tl.int64)
    signal_f = tl.cast(signal_f, tl.int64)
    out_f = tl.cast(channels, tl.int64)
    source = coarse * step + oldest
    time = coarse * steps - skipped
    signal += row * signal_b + source[:, None].to(tl.int64) * signal_t + channel[None, :] * signal_c
    out += (row * length + time[:, None]) * KEPT * out_f + channel[None, :]
    window = samples(signal, signal_t, signal_f, source, reach, has_channel, SUM, WINDOW - step, SUMMED)
    signal += (WINDOW - step) * signal_t
    source += WINDOW - step
    for _block in range(blocks):
        window = window + samples(
            signal, signal_t, signal_f, source, reach, has_channel, SUM, BLOCK_T * step, SUMMED
        )
        for u in tl.static_range(BLOCK_T * steps):
            inside = ((time + u).to(tl.uint32) < tl.cast(length, tl.uint32))[:, None] & has_channel[None, :]
            for o in tl.static_range(KEPT):
                total = tl.zeros((BLOCK_R, BLOCK_C), SUM)
                for k in tl.static_range(WINDOW):
                    if TABLE[u % steps * WINDOW + k] >= 0:
                        for f in tl.static_range(SUMMED):
                            weight = weights[(o * SUMMED + f) * TAPS + TABLE[u % steps * WINDOW + k]]
                            total += weight * window[(u // steps * step + k) * SUMMED + f]
                tl.store(out + (u * KEPT + o) * out_f, total.to(out.dtype.element_ty), inside)
        window = window[BLOCK_T * step * SUMMED :]
        time += BLOCK_T * steps
        source += BLOCK_T * step
        signal += BLOCK_T * step * signal_t
        out += BLOCK_T * steps * KEPT * out_f


@triton.jit
def rate_window_taps_kernel(
    fine,
    coarse,
    out,
    length,
    reach,
    oldest,
    blocks,
    run_tiles,
    units,
    share,
    channels,
    channel_tiles,
    fine_b,
    fine_t,
    fine_f,
    fine_c,
    coarse_b,
    coarse_t,
    coarse_f,
    coarse_c,
    out_fine,
    out_coarse,
    out_i,
    COARSER: tl.constexpr,
    SHARED: tl.constexpr,
    SUM: tl.constexpr,
    FACTOR: tl.constexpr,
    TAPS: tl.constexpr,
    FINE: tl.constexpr,
    COARSE: tl.constexpr,
    WINDOW: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """The part of one program in the derivative in all taps, over `share` of the `units` of BLOCK_R runs of a row.

        out[s, ..., i, c] = sum over b, m  coarse[b, m, ., c] * fine[b, FACTOR m + oldest + k, ., c]

    For each of COARSE numbers of a coarse sample and FINE ones of a fine one. The output of the filter is the coarse
    signal if COARSER, and i = TAPS - 1 - k; else it is the fine one, and i = k. `length` and `reach` are the samples of
    the coarse and of the fine signal. Where channels share their taps, the result has a number for all of a tile.
    """
    program = tl.program_id(0)
    tile, split = program % channel_tiles, program // channel_tiles
    channel = (tile * BLOCK_C + tl.arange(0, BLOCK_C)).to(tl.int64)
    has_channel = channel < channels
    sums = ()
    for _n in tl.static_range(FINE * COARSE * TAPS):
        sums = sums + (tl.zeros((BLOCK_R, BLOCK_C), SUM),)
    fine_t, fine_f = tl.cast(fine_t, tl.int64), tl.cast(fine_f, tl.int64)
    coarse_t, coarse_f = tl.cast(coarse_t, tl.int64), tl.cast(coarse_f, tl.int64)
    for unit in range(split * share, tl.minimum(split * share + share, units)):
        row = (unit // run_tiles).to(tl.int64)
        time = (unit % run_tiles * BLOCK_R + tl.arange(0, BLOCK_R)) * (blocks * BLOCK_T)
        source = time * FACTOR + oldest
        x = fine + row * fine_b + source[:, None].to(tl.int64) * fine_t + channel[None, :] * fine_c
        v = coarse + row * coarse_b + time[:, None].to(tl.int64) * coarse_t + channel[None, :] * coarse_c
        window = samples(x, fine_t, fine_f, source, reach, has_channel, SUM, WINDOW - FACTOR, FINE)
        x += (WINDOW - FACTOR) * fine_t
        source += WINDOW - FACTOR
        for _block in range(blocks):
            window = window + samples(
                x, fine_t, fine_f, source, reach, has_channel, SUM, BLOCK_T * FACTOR, FINE
            )
            factors = samples(v, coarse_t, coarse_f, time, length, has_channel, SUM, BLOCK_T, COARSE)
            added = ()
            for n in tl.static_range(FINE * COARSE * TAPS):
                total = sums[n]
                for u in tl.static_range(BLOCK_T):
                    factor = factors[u * COARSE + n // TAPS % COARSE]
                    total += factor * window[(u * FACTOR + n % TAPS) * FINE + n // TAPS // COARSE]
                added = added + (total,)
            sums = added
            window = window[BLOCK_T * FACTOR * FINE :]
            time += BLOCK_T
            source += BLOCK_T * FACTOR
            x += BLOCK_T * FACTOR * fine_t
            v += BLOCK_T * coarse_t
    out += tl.cast(split, tl.int64) * (FINE * COARSE * TAPS) * (channel_tiles if SHARED else channels)
    for n in tl.static_range(FINE * COARSE * TAPS):
        place = out + (n // TAPS // COARSE) * tl.cast(out_fine, tl.int64)
        place += (n // TAPS % COARSE) * tl.cast(out_coarse, tl.int64)
        place += (TAPS - 1 - n % TAPS if COARSER else n % TAPS) * tl.cast(out_i, tl.int64)
        if SHARED:
            tl.store(place + tile, tl.sum(tl.sum(sums[n], 0), 0))
        else:
            tl.store(place + channel, tl.sum(sums[n], 0), has_channel)
