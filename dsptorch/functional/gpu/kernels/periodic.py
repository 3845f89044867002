"""The periodic filter, its adjoint, and the correlation of two signals.

A tile is some periods by some channels: the samples of one phase in neighbouring periods meet the same taps. Where rows
hold several signals, a tile is some neighbouring samples, and each looks up its phase. Channels, rows and samples are
64-bit numbers where they are multiplied by a stride: the product may be more than 2^31.
"""

import triton
import triton.language as tl


@triton.jit
def filter_kernel(
    signal,
    weight,
    lags,
    position,
    following,
    out,
    length,
    reach,
    history,
    period,
    phases,
    channels,
    num_lags,
    time_tiles,
    channel_tiles,
    signal_b,
    signal_t,
    signal_c,
    weight_b,
    weight_p,
    weight_i,
    weight_c,
    ADJOINT: tl.constexpr,
    SEGMENTS: tl.constexpr,
    SUM: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """One tile of the output.

        out[b, t, c] = sum_i  weight[t mod P, i, c] * signal[b, t + history - lags[i], c]
        adjoint: out[b, j, c] = sum_i  weight[t mod P, i, c] * signal[b, t, c],   t = j - history + lags[i]

    `lags` holds the lags, and after them (lags[i] - history) mod P. `length` and `reach` are the samples of `out` and
    of `signal`; `phases` is how many phases a program takes, of `period` (1 with segments).
    """
    program = tl.program_id(0)
    channel = (program % channel_tiles * BLOCK_C + tl.arange(0, BLOCK_C)).to(tl.int64)
    program = program // channel_tiles
    first_phase = program % tl.cdiv(period if not SEGMENTS else 1, phases) * phases
    program = program // tl.cdiv(period if not SEGMENTS else 1, phases)
    block = program % time_tiles * BLOCK_N + tl.arange(0, BLOCK_N)
    row = (program // time_tiles).to(tl.int64)
    step = 1 if SEGMENTS else period
    signal += row * signal_b
    weight += row * weight_b
    out += row * length * channels
    has_channel = channel < channels
    for phase in range(first_phase, tl.minimum(first_phase + phases, step)):
        time = block * step + phase
        inside = time < length
        total = tl.zeros((BLOCK_N, BLOCK_C), SUM)
        if SEGMENTS and not ADJOINT:
            before = tl.load(position + row * length + time, inside, 0)
            after = tl.load(following + row * length + time, inside, 0)
        for i in range(num_lags):
            lag = tl.load(lags + i)
            source = time + (lag - history if ADJOINT else history - lag)
            met = inside & (source >= 0) & (source < reach)
            taps = weight + i * weight_i + channel * weight_c
            if SEGMENTS:
                if ADJOINT:
                    before = tl.load(position + row * reach + source, met, 0)
                    after = tl.load(following + row * reach + source, met, 0)
                met = met & (before >= lag) & (after >= -lag)
                at = (before % period)[:, None] * weight_p
                tap = tl.load(taps[None, :] + at, met[:, None] & has_channel[None, :], 0.0)
            else:
                at = (phase + tl.load(lags + num_lags + i)) % period if ADJOINT else phase
                tap = tl.load(taps + at.to(tl.int64) * weight_p, has_channel, 0.0)[None, :]
            x = tl.load(
                signal + source[:, None].to(tl.int64) * signal_t + channel[None, :] * signal_c,
                met[:, None] & has_channel[None, :],
                0.0,
            )
            total += tap.to(SUM) * x.to(SUM)
        tl.store(
            out + time[:, None].to(tl.int64) * channels + channel[None, :],
            total.to(out.dtype.element_ty),
            inside[:, None] & has_channel[None, :],
        )


@triton.jit
def correlation_kernel(
    signal,
    gradient,
    lags,
    position,
    following,
    out,
    time,
    reach,
    history,
    period,
    channels,
    num_lags,
    rows,
    time_tiles,
    share,
    channel_tiles,
    lag_tiles,
    splits,
    signal_b,
    signal_t,
    signal_c,
    gradient_b,
    gradient_t,
    gradient_c,
    SEGMENTS: tl.constexpr,
    SUM: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_I: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """The part of one program in the derivative in some taps of one phase, over `share` tiles of time and rows.

        out[g, s, p, i, c] = sum over b, t, t mod P = p  gradient[b, t, c] * signal[b, t + history - lags[i], c]

    Each group g of `rows` rows has taps of its own; the caller adds the splits s in their order.
    """
    program = tl.program_id(0)
    channel = (program % channel_tiles * BLOCK_C + tl.arange(0, BLOCK_C)).to(tl.int64)
    program = program // channel_tiles
    number = program % lag_tiles * BLOCK_I + tl.arange(0, BLOCK_I)
    program = program // lag_tiles
    phase = program % period
    program = program // period
    split, group = program % splits, program // splits
    has_channel, has_lag = channel < channels, number < num_lags
    lag = tl.load(lags + number, has_lag, 0)
    total = tl.zeros((BLOCK_N, BLOCK_I, BLOCK_C), SUM)
    for unit in range(split * share, tl.minimum(split * share + share, rows * time_tiles)):
        row = (group * rows + unit // time_tiles).to(tl.int64)
        block = unit % time_tiles * BLOCK_N + tl.arange(0, BLOCK_N)
        now = block if SEGMENTS else block * period + phase
        inside = now < time
        source = now[:, None] - lag[None, :] + history
        met = inside[:, None] & has_lag[None, :] & (source >= 0) & (source < reach)
        if SEGMENTS:
            before = tl.load(position + row * time + now, inside, 0)
            after = tl.load(following + row * time + now, inside, 0)
            inside = inside & (before % period == phase)
            met = met & inside[:, None]
            met = met & (before[:, None] >= lag[None, :]) & (after[:, None] >= -lag[None, :])
        v = tl.load(
            gradient
            + row * gradient_b
            + now[:, None].to(tl.int64) * gradient_t
            + channel[None, :] * gradient_c,
            inside[:, None] & has_channel[None, :],
            0.0,
        )
        x = tl.load(
            signal
            + row * signal_b
            + source[:, :, None].to(tl.int64) * signal_t
            + channel[None, None, :] * signal_c,
            met[:, :, None] & has_channel[None, None, :],
            0.0,
        )
        total += v[:, None, :].to(SUM) * x.to(SUM)
    place = ((group * splits + split).to(tl.int64) * period + phase) * num_lags * channels
    tl.store(
        out + place + number[:, None] * channels + channel[None, :],
        tl.sum(total, 0),
        has_lag[:, None] & has_channel[None, :],
    )
