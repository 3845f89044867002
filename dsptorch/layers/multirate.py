"""The multirate block: a coarse and a detail band with learned filters."""

import copy
import math

import torch
from torch import Tensor, nn

from dsptorch.functional.design import firwin
from dsptorch.functional.memo import Memo
from dsptorch.functional.multirate import multirate_plan, multirate_weights
from dsptorch.functional.validate import check_bool, check_int, has_values
from dsptorch.hyperparams import (
    BoundedHyperparam,
    Hyperparam,
    check_factor,
    check_hyperparam,
    current,
    fixed_repr,
    made_of,
    real_tensors,
)
from dsptorch.layers.base import FilterLayer

_LONGEST = 4096  # the longest period of a learned factor's mixture in samples; the structure grows with it


class Multirate(FilterLayer):
    """Split each channel into a coarse and a detail band with learned filters, and blend with the input.

        coarse = recon(hold(low(x)))                  low-pass, keep every `downsample`-th sample, hold, smooth
        y      = m * x + (1 - m) * (coarse + alpha * detail(x - coarse))

    The block is one periodically time-varying filter, and runs as one where this is faster. It is causal: sample n of
    the low rate is taken at time downsample * n and held, not interpolated, until the next one.

    A learned `downsample` v computes the coarse band for every integer i of its range with the same filters, and
    mixes the bands with the weights max(0, 1 - |v - i|), which are exact at integers and differentiable between them.
    `compact` keeps only the nearest integer. The period is then the least common multiple of the range, to the power
    of `levels`.

    Args:
        d_model: The width.
        downsample: The decimation factor s of each level, at least 1; or a `BoundedHyperparam` with `integer=True`,
            which is learned.
        levels: Number of levels, at least 1. Each level splits the coarse band of the previous one.
        kernel_size: Number of taps of each filter, at least 1.
        mix_ratio: The share m of the input, in [0, 1]. None is learned, from 0.4 in [0.2, 0.6].
        detail_strength: The gain alpha of the detail band. None is learned, from 0.75 in [0.5, 1].
        causal: False centres the filters, which then look ahead (the hold does not change).
        device: The device of the parameters.
        dtype: The dtype of the parameters. Hyperparameters are float32 at least.

    Attributes:
        low, recon, detail: The taps, (levels, kernel_size, d_model). Initially `low` and `recon` are low-passes of
            unit gain at DC with cutoff 1 / downsample (of a learned factor, the initial value, rounded), and `detail`
            is the identity.

    Shape:
        (batch, time, d_model) -> the same shape and dtype.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    Example:
        >>> layer = Multirate(64)
        >>> layer(torch.randn(2, 100, 64)).shape
        torch.Size([2, 100, 64])
        >>> layer.lookahead, layer.period, layer.receptive_field
        (0, 2, 11)
        >>> learned = Multirate(64, BoundedHyperparam(2.0, 1, 4, integer=True))
        >>> learned.period, learned.compact().downsample
        (12, 2)

    References:
        E. Yifee, Adaptive Frequency-Domain DSP for Language Model Training, 2025, Multirate Subband
        Decomposition (the block).
        P. J. Burt and E. H. Adelson, The Laplacian Pyramid as a Compact Image Code, IEEE Trans. Commun.
        31(4), 1983, p. 532 (the identity).
    """

    no_weight_decay = ("low", "recon", "detail")

    def __init__(
        self,
        d_model: int,
        downsample: int | BoundedHyperparam = 2,
        *,
        levels: int = 1,
        kernel_size: int = 4,
        mix_ratio: Hyperparam | None = None,
        detail_strength: Hyperparam | None = None,
        causal: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_int("d_model", d_model, least=1)
        check_int("levels", levels, least=1)
        check_int("kernel_size", kernel_size, least=1)
        factors = _factors(check_factor("downsample", downsample), levels)
        offset = 0 if check_bool("causal", causal) else kernel_size // 2
        super().__init__(d_model, multirate_plan(levels, kernel_size, d_model, factors, offset))
        self.downsample, self.levels, self.kernel_size = downsample, levels, kernel_size
        self.causal = causal
        self._first_downsample = _present_factor(self.downsample)
        self._constants = Memo()
        if mix_ratio is None:
            mix_ratio = BoundedHyperparam(0.4, 0.2, 0.6, device=device)
        if detail_strength is None:
            detail_strength = BoundedHyperparam(0.75, 0.5, 1.0, device=device)
        self.mix_ratio = check_hyperparam("mix_ratio", mix_ratio, 0.0, 1.0, width=d_model)
        self.detail_strength = check_hyperparam("detail_strength", detail_strength, width=d_model)
        shape = (levels, kernel_size, d_model)
        self.low = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
        self.recon = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
        self.detail = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
        self.set_first_values()

    def first_values(self) -> dict[str, Tensor]:  # noqa: D102
        centre = 0 if self.causal else self.kernel_size // 2
        delta = torch.zeros(self.kernel_size)
        delta[centre] = 1.0
        factor = self._first_downsample
        low = firwin(self.kernel_size, 1 / factor) if factor > 1 else delta
        return {"low": low.unsqueeze(-1), "recon": low.unsqueeze(-1), "detail": delta.unsqueeze(-1)}

    def weights(self) -> tuple[float | Tensor, ...]:  # noqa: D102
        downsample = self.downsample
        shares = downsample.weights().reshape(-1) if isinstance(downsample, BoundedHyperparam) else None
        mix_ratio, detail_strength = self._constants(
            lambda: (current(self.mix_ratio), current(self.detail_strength)),
            made_of(self.mix_ratio, self.detail_strength),
        )
        return multirate_weights(self.low, self.recon, self.detail, mix_ratio, detail_strength, shares)

    @torch.no_grad()
    def compact(self) -> "Multirate":
        """Return a copy of the layer whose `downsample` is the nearest int.

        It gives the same output within rounding if the learned factor is at an integer, for example after `harden`. A
        layer whose factor is already an int is copied.
        """
        taps = self.low, self.recon, self.detail
        small = Multirate(
            self.d_model,
            _present_factor(self.downsample),
            levels=self.levels,
            kernel_size=self.kernel_size,
            mix_ratio=copy.deepcopy(self.mix_ratio),
            detail_strength=copy.deepcopy(self.detail_strength),
            causal=self.causal,
            device=self.low.device,
            dtype=self.low.dtype,
        )
        for copied, weight in zip((small.low, small.recon, small.detail), taps, strict=True):
            copied.copy_(weight).requires_grad_(weight.requires_grad)
        return small.train(self.training)

    def extra_repr(self) -> str:  # noqa: D102
        factor = "" if isinstance(self.downsample, BoundedHyperparam) else f"downsample={self.downsample}, "
        return (
            f"{self.d_model}, {factor}levels={self.levels}, kernel_size={self.kernel_size}, causal={self.causal}"
            + fixed_repr(mix_ratio=self.mix_ratio, detail_strength=self.detail_strength)
        )


def _present_factor(downsample: int | BoundedHyperparam) -> int:
    """The factor, rounded if it is learned; on the meta device, where it has no value, the initial one."""
    if not isinstance(downsample, BoundedHyperparam):
        return downsample
    with real_tensors():
        value = downsample.value if has_values(downsample.raw) else downsample.first
        if has_values(value):
            return round(value.item())
    raise ValueError("downsample needs a first value, got one on the meta device; build it from a number")


def _factors(downsample: int | BoundedHyperparam, levels: int) -> int | tuple[int, ...]:
    """The factor, or all factors that a learned one mixes; a period that is too long is refused."""
    if isinstance(downsample, BoundedHyperparam):
        factors = tuple(range(int(downsample.low), int(downsample.high) + 1))
    else:
        factors = (downsample,)
    period = math.lcm(*factors) ** levels
    if period > _LONGEST:
        named = f"{factors[0]} to {factors[-1]}" if len(factors) > 1 else str(downsample)
        raise ValueError(
            f"the factors of downsample must repeat together within {_LONGEST} samples, got {named} in {levels} "
            f"levels, which do after {period}; take fewer levels or smaller factors"
        )
    return factors if isinstance(downsample, BoundedHyperparam) else downsample
