"""The multirate block as an expression: a Laplacian pyramid with mixing."""

from torch import Tensor

from dsptorch.functional.periodic_fir import PeriodicFIR


def multirate(
    low: Tensor,
    recon: Tensor,
    detail: Tensor,
    *,
    downsample: int,
    mix_ratio: float | Tensor,
    detail_strength: float | Tensor,
    offset: int = 0,
) -> PeriodicFIR:
    """Split a signal into a coarse and a detail band, and mix them with the input.

        coarse = recon @ inner @ hold(downsample) @ low           inner: the next level, at the lower rate
        band   = coarse + detail_strength * detail @ (I - coarse)
        block  = mix_ratio * I + (1 - mix_ratio) * band

    With `detail_strength` 1 and the identity as detail filter the band, and so the block, is the identity,
    whatever the other filters are.

    Args:
        low: The low-pass before decimation, of each level; level 0 is at the full rate.
        recon: The filter after the hold, of each level.
        detail: The filter of the detail band, of each level.
        downsample: The decimation factor of each level, at least 1.
        mix_ratio: The share of the input, m in the seed's equations.
        detail_strength: The gain of the detail band, alpha.
        offset: How many taps of each filter look ahead; 0 is causal.

    Shape:
        low, recon, detail: (levels, taps, channels).

    Example:
        >>> import torch
        >>> taps = torch.rand(1, 4, 8)
        >>> multirate(taps, taps, taps, downsample=2, mix_ratio=0.4, detail_strength=0.75)
        PeriodicFIR(period=2, taps=11, lookahead=0, receptive_field=11)

    References:
        P. J. Burt and E. H. Adelson, The Laplacian Pyramid as a Compact Image Code, IEEE Trans. Commun.
        31(4), 1983, p. 532.
    """
    identity = PeriodicFIR.identity()
    band = identity
    for low_taps, recon_taps, detail_taps in reversed(list(zip(low, recon, detail, strict=True))):
        coarse = (
            PeriodicFIR.fir(recon_taps, offset)
            @ band.at_rate(downsample)
            @ PeriodicFIR.hold(downsample)
            @ PeriodicFIR.fir(low_taps, offset)
        )
        band = coarse + detail_strength * (PeriodicFIR.fir(detail_taps, offset) @ (identity - coarse))
    return mix_ratio * identity + (1 - mix_ratio) * band
