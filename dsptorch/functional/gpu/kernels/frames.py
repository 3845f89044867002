"""Filters between two rates: every filterbank, its adjoint, decimation and upsampling, and the gradient of their taps.

Of L outputs per M inputs, tap i connects input j with output n if i = n M - j L. A sample is some numbers: of the
input, one for each filter that ends in an output; of the output, one for each band. Channels, rows, samples and these
numbers are 64-bit where they are multiplied by a stride: the product may be more than 2^31.
"""

import triton
import triton.language as tl


@triton.jit
def rate_kernel(
    signal,
    taps,
    position,
    out,
    length,
    reach,
    first,
    shift,
    up,
    down,
    numtaps,
    steps,
    kept,
    summed,
    channels,
    time,
    time_tiles,
    kept_tiles,
    channel_tiles,
    signal_b,
    signal_t,
    signal_f,
    signal_c,
    taps_kept,
    taps_summed,
    taps_i,
    taps_c,
    ADJOINT: tl.constexpr,
    SEGMENTS: tl.constexpr,
    SUM: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_O: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """A tile of (length, kept, channels): outputs n, summed over inputs; or, adjoint, inputs j, summed over outputs.

    Output number r is n = first + r, and input number s is j = s + shift; `shift` may be negative. `steps` is how many
    samples of `signal` meet one of `out`, and `summed` how many numbers each has. `position` has `time` samples, of
    which the first is input number time - reach (of the forward pass).
    """
    program = tl.program_id(0)
    channel = (program % channel_tiles * BLOCK_C + tl.arange(0, BLOCK_C)).to(tl.int64)
    program = program // channel_tiles
    number = (program % kept_tiles * BLOCK_O + tl.arange(0, BLOCK_O)).to(tl.int64)
    program = program // kept_tiles
    place = program % time_tiles * BLOCK_N + tl.arange(0, BLOCK_N)
    row = (program // time_tiles).to(tl.int64)
    inside, has_channel, is_kept = place < length, channel < channels, number < kept
    before = (length if ADJOINT else reach) - time  # inputs before the chunk
    if ADJOINT:
        j = place + shift
        # Rounded up; moved by whole periods, so that no number is negative.
        moved = tl.maximum(-shift, 0)
        near = ((j + moved * down) * up + down - 1) // down - moved * up
    else:
        near = (place + first) * down // up
    total = tl.zeros((BLOCK_N, BLOCK_O, BLOCK_C), SUM)
    for step in range(steps):
        if ADJOINT:
            n = near + step
            tap = n * down - j * up
            source = n - first
        else:
            n = place + first
            tap = n * down - (near - step) * up
            source = near - step - shift
        met = inside & (source >= 0) & (source < reach) & (tap >= 0) & (tap < numtaps)
        if SEGMENTS:
            at = n * down // up  # when the output stands, in inputs
            age = tl.load(position + row * time + (at - shift - before), met, 0)
            met = met & ((at - j if ADJOINT else step) <= age)
        mask = met[:, None] & has_channel[None, :]
        for part in range(summed):
            f = tl.cast(part, tl.int64)
            x = tl.load(
                signal
                + row * signal_b
                + source[:, None].to(tl.int64) * signal_t
                + f * signal_f
                + channel[None, :] * signal_c,
                mask,
                0.0,
            )
            h = tl.load(
                taps
                + f * taps_summed
                + number[None, :, None] * taps_kept
                + tap[:, None, None] * taps_i
                + channel[None, None, :] * taps_c,
                mask[:, None, :] & is_kept[None, :, None],
                0.0,
            )
            total += h.to(SUM) * x[:, None, :].to(SUM)
    tl.store(
        out
        + ((row * length + place[:, None, None]) * kept + number[None, :, None]) * channels
        + channel[None, None, :],
        total.to(out.dtype.element_ty),
        inside[:, None, None] & is_kept[None, :, None] & has_channel[None, None, :],
    )


@triton.jit
def taps_kernel(
    signal,
    gradient,
    position,
    out,
    length,
    reach,
    first,
    shift,
    up,
    down,
    inverse,
    numtaps,
    fan_in,
    fan_out,
    channels,
    time,
    rows,
    time_tiles,
    share,
    splits,
    tap_tiles,
    channel_tiles,
    signal_b,
    signal_t,
    signal_f,
    signal_c,
    gradient_b,
    gradient_t,
    gradient_f,
    gradient_c,
    SEGMENTS: tl.constexpr,
    SHARED: tl.constexpr,
    SUM: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_I: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """The part of one program in the derivative in some taps of one filter, over `share` tiles of time and rows.

    Tap i meets the outputs n = i / M modulo L, `inverse` being 1 / M; `length` and `reach` are the outputs and the
    inputs. The result is (splits, fan_in, fan_out, numtaps, channels), or a number for all channels of a tile.
    """
    program = tl.program_id(0)
    tile = program % channel_tiles
    channel = (tile * BLOCK_C + tl.arange(0, BLOCK_C)).to(tl.int64)
    program = program // channel_tiles
    tap = program % tap_tiles * BLOCK_I + tl.arange(0, BLOCK_I)
    program = program // tap_tiles
    o = (program % fan_out).to(tl.int64)
    program = program // fan_out
    f, split = (program % fan_in).to(tl.int64), program // fan_in
    has_channel, is_tap = channel < channels, tap < numtaps
    residue = tap * inverse % up
    total = tl.zeros((BLOCK_N, BLOCK_I, BLOCK_C), SUM)
    for unit in range(split * share, tl.minimum(split * share + share, rows * time_tiles)):
        row = (unit // time_tiles).to(tl.int64)
        block = unit % time_tiles * BLOCK_N + tl.arange(0, BLOCK_N)
        n = residue[None, :] + block[:, None] * up
        r = n - first
        j = (n * down - tap[None, :]) // up
        s = j - shift
        met = is_tap[None, :] & (r >= 0) & (r < length) & (s >= 0) & (s < reach)
        if SEGMENTS:
            at = n * down // up
            age = tl.load(position + row * time + (at - shift - (reach - time)), met, 0)
            met = met & (at - j <= age)
        mask = met[:, :, None] & has_channel[None, None, :]
        x = tl.load(
            signal
            + row * signal_b
            + s[:, :, None].to(tl.int64) * signal_t
            + f * signal_f
            + channel[None, None, :] * signal_c,
            mask,
            0.0,
        )
        v = tl.load(
            gradient
            + row * gradient_b
            + r[:, :, None].to(tl.int64) * gradient_t
            + o * gradient_f
            + channel[None, None, :] * gradient_c,
            mask,
            0.0,
        )
        total += v.to(SUM) * x.to(SUM)
    found = tl.sum(total, 0)
    width = channel_tiles if SHARED else channels
    place = (((split * fan_in + f) * fan_out + o).to(tl.int64) * numtaps + tap) * width
    if SHARED:
        tl.store(out + place + tile, tl.sum(found, 1), is_tap)
    else:
        tl.store(out + place[:, None] + channel[None, :], found, is_tap[:, None] & has_channel[None, :])
