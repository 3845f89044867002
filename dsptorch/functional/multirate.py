"""The multirate block as an expression: a Laplacian pyramid with mixing."""

from collections.abc import Sequence
from functools import reduce

from torch import Tensor

from dsptorch.functional.hold_mix import HoldMix
from dsptorch.functional.periodic_fir import PeriodicFIR
from dsptorch.functional.segments import Segments
from dsptorch.functional.stream import FIRState, step


def multirate(
    low: Tensor,
    recon: Tensor,
    detail: Tensor,
    *,
    downsample: int | Sequence[int],
    mix_ratio: float | Tensor,
    detail_strength: float | Tensor,
    offset: int = 0,
    weights: Tensor | None = None,
) -> PeriodicFIR:
    """Split a signal into a coarse and a detail band, and mix them with the input.

        coarse = recon @ inner @ hold(downsample) @ low           inner: the next level, at the lower rate
        band   = coarse + detail_strength * detail @ (I - coarse)
        block  = mix_ratio * I + (1 - mix_ratio) * band

    With `detail_strength` 1 and the identity as detail filter the band, and so the block, is the identity,
    whatever the other filters are. With several factors s_i and `weights` w_i, as a learned factor has them,

        coarse = recon @ (sum_i w_i * inner_i @ hold(s_i)) @ low  inner_i: the next level, at that lower rate

    Args:
        low: The low-pass before decimation, of each level; level 0 is at the full rate.
        recon: The filter after the hold, of each level.
        detail: The filter of the detail band, of each level.
        downsample: The decimation factor of each level, at least 1; or several, for `weights` to mix.
        mix_ratio: The share of the input, m in the seed's equations.
        detail_strength: The gain of the detail band, alpha.
        offset: How many taps of each filter look ahead; 0 is causal.
        weights: One weight for each of several factors; None for a single one.

    Shape:
        low, recon, detail: (levels, taps, channels). weights: (factors,).

    Raises:
        ValueError: If there are several factors and not as many weights, or weights for a single one.

    Example:
        >>> import torch
        >>> taps = torch.rand(1, 4, 8)
        >>> multirate(taps, taps, taps, downsample=2, mix_ratio=0.4, detail_strength=0.75)
        PeriodicFIR(period=2, taps=11, lookahead=0, receptive_field=11)
        >>> between = torch.tensor([0.3, 0.7])
        >>> multirate(taps, taps, taps, downsample=(2, 3), weights=between, mix_ratio=0.4, detail_strength=0.75)
        PeriodicFIR(period=6, taps=12, lookahead=0, receptive_field=12)

    References:
        P. J. Burt and E. H. Adelson, The Laplacian Pyramid as a Compact Image Code, IEEE Trans. Commun.
        31(4), 1983, p. 532.
    """
    if not isinstance(downsample, int):
        if weights is None:
            raise ValueError(
                f"several factors need weights, got downsample={downsample} and none; give one for each"
            )
        return _mixed(low, recon, detail, tuple(downsample), weights, mix_ratio, detail_strength, offset)
    if weights is not None:
        raise ValueError(f"weights mix several factors, got downsample={downsample}; leave them out")
    identity = PeriodicFIR.identity()
    band = identity
    for low_taps, recon_taps, detail_taps in reversed(list(zip(low, recon, detail, strict=True))):
        lowpass, smooth = PeriodicFIR.fir(low_taps, offset), PeriodicFIR.fir(recon_taps, offset)
        coarse = smooth @ band.at_rate(downsample) @ PeriodicFIR.hold(downsample) @ lowpass
        details = PeriodicFIR.fir(detail_taps, offset) @ (identity - coarse)
        band = coarse + detail_strength * details
    return mix_ratio * identity + (1 - mix_ratio) * band


def _mixed(
    low: Tensor,
    recon: Tensor,
    detail: Tensor,
    factors: tuple[int, ...],
    weights: Tensor,
    mix_ratio: float | Tensor,
    detail_strength: float | Tensor,
    offset: int,
) -> PeriodicFIR:
    """The block with a mixture of holds, which is too long-winded to fold: its coarse band is written down once.

    band = coarse + alpha * detail @ (I - coarse) = alpha * detail + (I - alpha * detail) @ coarse
    """
    identity, band = PeriodicFIR.identity(), None
    for low_taps, recon_taps, detail_taps in reversed(list(zip(low, recon, detail, strict=True))):
        if band is None:
            held = PeriodicFIR(HoldMix(factors, weights))
        else:
            at_rates = [
                weight * (band.at_rate(s) @ PeriodicFIR.hold(s))
                for s, weight in zip(factors, weights, strict=True)
            ]
            held = reduce(PeriodicFIR.__add__, at_rates)
        coarse = PeriodicFIR.fir(recon_taps, offset) @ held @ PeriodicFIR.fir(low_taps, offset)
        direct = detail_strength * PeriodicFIR.fir(detail_taps, offset)
        others = identity - direct
        band = direct + others @ coarse
    return mix_ratio * identity + (1 - mix_ratio) * direct + (1 - mix_ratio) * others @ coarse


def multirate_step(
    x: Tensor,
    state: tuple[Tensor, ...],
    taps: tuple[Tensor, Tensor, Tensor],
    knobs: tuple[float | Tensor, float | Tensor],
    downsample: int | tuple[int, ...],
    offset: int,
    weights: tuple[Tensor, ...] = (),
    segments: tuple[Tensor, ...] = (),
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Apply the block to the next chunk of a signal: `multirate` and its step, from plain values to tensors.

    Args:
        x: The next samples of every row, (batch, time, channels).
        state: The FIRState that the last call returned; () is at rest, at position 0.
        taps: low, recon and detail; see `multirate`.
        knobs: mix_ratio and detail_strength.
        downsample: The decimation factor, or several.
        offset: How many taps of each filter look ahead.
        weights: (the weights,) of several factors; () for one.
        segments: The fields of the chunk's Segments; () if a row is one signal.

    Returns:
        The output, and the fields of the state.
    """
    block = multirate(
        *taps,
        mix_ratio=knobs[0],
        detail_strength=knobs[1],
        downsample=downsample,
        offset=offset,
        weights=next(iter(weights), None),
    )
    y, after = step(
        block.node, x, FIRState(*state) if state else None, Segments(*segments) if segments else None
    )
    return y, *after
