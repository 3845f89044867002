"""The multirate block as an expression: a Laplacian pyramid with mixing."""

from collections.abc import Sequence
from functools import reduce

from torch import Tensor

from dsptorch.functional.periodic_fir import PeriodicFIR
from dsptorch.functional.plan import IDENTITY, Literal, Plan, Slot, WeightedHold, hold
from dsptorch.functional.support import Support


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

    With `detail_strength` 1 and the identity as detail filter, the band is the identity for any other filters, and so
    is the block. With several factors s_i and `weights` w_i, which is how a factor is learned,

        coarse = recon @ (sum_i w_i * inner_i @ hold(s_i)) @ low  inner_i: the next level, at the rate 1 / s_i

    Args:
        low: The low-pass before decimation for each level; level 0 is at the full rate.
        recon: The filter after the hold for each level.
        detail: The filter of the detail band for each level.
        downsample: The decimation factor of each level, at least 1; or several factors, mixed by `weights`.
        mix_ratio: The share of the input, m in the study's equations.
        detail_strength: The gain of the detail band, alpha.
        offset: Number of taps of each filter that look ahead; 0 is causal.
        weights: One weight for each of several factors; None for a single one.

    Shape:
        low, recon, detail: (levels, taps, channels). weights: (factors,).

    Raises:
        ValueError: If the number of weights differs from the number of several factors, or weights are given for a
            single factor.

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
    factors = None if isinstance(downsample, int) else tuple(downsample)
    if factors and weights is None:
        raise ValueError(
            f"several factors need weights, got downsample={downsample} and none; give one for each"
        )
    if weights is not None and factors is None:
        raise ValueError(f"weights mix several factors, got downsample={downsample}; leave them out")
    if weights is not None and factors and weights.shape != (len(factors),):
        raise ValueError(f"weights must be one a factor, ({len(factors)},), got shape {tuple(weights.shape)}")
    if not low.shape == recon.shape == detail.shape:
        shapes = ", ".join(str(tuple(taps.shape)) for taps in (low, recon, detail))
        raise ValueError(
            f"low, recon and detail must be of one shape, (levels, taps, channels), got {shapes}"
        )
    levels, kernel_size, channels = low.shape
    plan = multirate_plan(levels, kernel_size, channels, downsample, offset)
    return PeriodicFIR(plan, multirate_weights(low, recon, detail, mix_ratio, detail_strength, weights))


def multirate_weights(
    low: Tensor,
    recon: Tensor,
    detail: Tensor,
    mix_ratio: float | Tensor,
    detail_strength: float | Tensor,
    weights: Tensor | None = None,
) -> tuple[float | Tensor, ...]:
    """The weights of `multirate_plan`, in the order of its slots."""
    shares = () if weights is None else tuple(weights.unbind())
    mixed = () if weights is None else (weights,)
    return (
        mix_ratio,
        1 - mix_ratio,
        detail_strength,
        *low.unbind(),
        *recon.unbind(),
        *detail.unbind(),
        *mixed,
        *shares,
    )


def multirate_plan(
    levels: int, kernel_size: int, channels: int, downsample: int | Sequence[int], offset: int = 0
) -> Plan:
    """The structure of `multirate`, with the slots of `multirate_weights`.

    With several factors the coarse band does not fold, so the expression is arranged to contain it only once:

        coarse + alpha * detail @ (I - coarse)  =  alpha * detail + (I - alpha * detail) @ coarse
    """
    support = Support.full(1, tuple(range(-offset, kernel_size - offset)))
    mix, rest, strength, first = range(4)
    shares = first + 3 * levels

    def taps(which: int, level: int) -> Plan:
        return Literal(Slot(first + which * levels + level), support, channels)

    band: Plan = IDENTITY
    for level in reversed(range(levels)):
        low, recon, detail = (taps(which, level) for which in range(3))
        if isinstance(downsample, int):
            coarse = recon @ band.at_rate(downsample) @ hold(downsample) @ low
            band = coarse + (detail @ (IDENTITY - coarse)).scaled(strength)
            continue
        if band is IDENTITY:
            held: Plan = WeightedHold(tuple(downsample), Slot(shares))
        else:
            held = reduce(
                Plan.__add__,
                [(band.at_rate(s) @ hold(s)).scaled(shares + 1 + i) for i, s in enumerate(downsample)],
            )
        direct = detail.scaled(strength)
        band = direct + (IDENTITY - direct) @ (recon @ held @ low)
    return IDENTITY.scaled(mix) + band.scaled(rest)
