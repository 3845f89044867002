"""The channel bottleneck."""

import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsptorch.functional.memo import Memo
from dsptorch.functional.soft import width_mask
from dsptorch.hyperparams import BoundedHyperparam, Hyperparam, check_hyperparam, current, fixed_repr, made_of
from dsptorch.layers.calling import is_hooked
from dsptorch.layers.pointwise import PointwiseLayer, in_dtype_of


class ChannelBottleneck(PointwiseLayer):
    """Add the output of a narrow two-layer network, at every time step separately.

        D_b = floor(bottleneck_ratio * d_model)
        U   = residual_weight * (W_2 gelu(W_1 LayerNorm(x) + b_1) + b_2)
        y   = x + (1 - residual_mix) * U

    A floor has no gradient, so for a learned ratio the layer is built with the widest bottleneck of the interval, and
    the ratio moves a soft mask over the hidden units. A training loss does not reward a narrow layer: add a cost on
    the width to the loss, or the learned width only grows.

    Args:
        d_model: The width.
        bottleneck_ratio: Hidden units per channel, in (0, 1]; at least one unit is kept. None is learned, from 0.25
            in [0.15, 0.35].
        residual_mix: The share of the update that is left out, in [0, 1]. None is learned, from 0.5 in [0.3, 0.7].
        device: The device of the parameters.
        dtype: The dtype of the parameters. Hyperparameters are float32 at least.

    Attributes:
        norm, down, up: The LayerNorm and the two linear layers, with PyTorch's initialisation.
        residual_weight: A learned gain, (1,), initially 1.

    Shape:
        (batch, time, d_model) -> the same shape and dtype.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    Example:
        >>> layer = ChannelBottleneck(64)
        >>> layer(torch.randn(2, 10, 64)).shape
        torch.Size([2, 10, 64])
        >>> layer.down.out_features                  # the widest of the interval: ceil(0.35 * 64)
        23
        >>> layer.compact().down.out_features        # 0.25 * 64
        16

    References:
        E. Yifee, Adaptive Frequency-Domain DSP for Language Model Training, 2025, Channel Bottleneck
        Regularization.
    """

    no_weight_decay = ("residual_weight",)

    def __init__(
        self,
        d_model: int,
        *,
        bottleneck_ratio: Hyperparam | None = None,
        residual_mix: Hyperparam | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(d_model)
        if bottleneck_ratio is None:
            bottleneck_ratio = BoundedHyperparam(0.25, 0.15, 0.35, device=device)
        if residual_mix is None:
            residual_mix = BoundedHyperparam(0.5, 0.3, 0.7, device=device)
        self.bottleneck_ratio = check_hyperparam("bottleneck_ratio", bottleneck_ratio, 1e-6, 1.0)
        self.residual_mix = check_hyperparam("residual_mix", residual_mix, 0.0, 1.0)
        if isinstance(self.bottleneck_ratio, BoundedHyperparam):
            units = math.ceil(self.bottleneck_ratio.high * d_model)
        else:
            units = _whole_width(self.bottleneck_ratio, d_model)
        self.norm = nn.LayerNorm(d_model, device=device, dtype=dtype)
        self.down = nn.Linear(d_model, units, device=device, dtype=dtype)
        self.up = nn.Linear(units, d_model, device=device, dtype=dtype)
        self.residual_weight = nn.Parameter(torch.empty(1, device=device, dtype=dtype))
        self._constants = Memo()
        self.set_first_values()

    def first_values(self) -> dict[str, Tensor]:  # noqa: D102
        return {"residual_weight": torch.ones(1)}

    def apply_pointwise(self, x: Tensor) -> Tensor:  # noqa: D102
        normed = self.norm(in_dtype_of(self.norm, x))
        hidden = F.gelu(self.down(in_dtype_of(self.down, normed)))
        learned = isinstance(self.bottleneck_ratio, BoundedHyperparam)
        mask, gain = self._constants(
            lambda: (
                self._mask() if learned else 1.0,
                (1 - current(self.residual_mix)) * self.residual_weight,
            ),
            (*made_of(self.bottleneck_ratio, self.residual_mix, self.residual_weight), x.dtype),
        )
        if learned:
            hidden = hidden * mask.to(hidden.dtype)
        return torch.addcmul(x, self.up(in_dtype_of(self.up, hidden)).to(x.dtype), gain.to(x.dtype))

    @torch.no_grad()
    def compact(self, least: float = 0.5) -> "ChannelBottleneck":
        """Return a layer with fewer hidden units, at least 1, whose `bottleneck_ratio` is a number.

        The remaining units keep their weight in the mask, as a gain on their output weights. The result differs only by
        the units that are removed. With the default, the nearest whole width, the difference is largest (half a unit)
        for a width halfway between two whole numbers. A layer whose ratio is already a number is copied.

        Args:
            least: Units with a smaller weight in the mask are removed; in [0, 1]. A small value such as 1e-7 keeps the
                result equal within rounding, with a few more units.

        Raises:
            TypeError: If one of the modules inside was replaced (quantized, adapted by LoRA) or has hooks (pruned).
        """
        if changed := self.changed_part():
            raise TypeError(
                f"compact copies the weights of norm, down and up, but {changed}, which the copy would lose; compact "
                "first, or make that permanent (merge the adapter, torch.nn.utils.prune.remove)"
            )
        learned = isinstance(self.bottleneck_ratio, BoundedHyperparam)
        weight = self.down.weight
        mask = self._mask() if learned else torch.ones_like(self.down.bias)
        units = max(1, int((mask >= least).sum()))
        small = ChannelBottleneck(
            self.d_model,
            bottleneck_ratio=units / self.d_model,
            residual_mix=copy.deepcopy(self.residual_mix),
            device=weight.device,
            dtype=weight.dtype,
        )
        small.norm.weight.copy_(self.norm.weight)
        small.norm.bias.copy_(self.norm.bias)
        small.down.weight.copy_(weight[:units])
        small.down.bias.copy_(self.down.bias[:units])
        small.up.weight.copy_(self.up.weight[:, :units] * mask[:units])
        small.up.bias.copy_(self.up.bias)
        small.residual_weight.copy_(self.residual_weight)
        return small.train(self.training)

    def changed_part(self) -> str:
        """Describe an inner module that was replaced or has hooks; "" if there is none."""
        for name, kind in (("norm", nn.LayerNorm), ("down", nn.Linear), ("up", nn.Linear)):
            part = getattr(self, name)
            if getattr(type(part), "forward", None) is not kind.forward:
                return f"{name} is a {type(part).__module__}.{type(part).__qualname__}"
            if is_hooked(part):
                return f"{name} has hooks, or another forward than its own"
        return ""

    def _mask(self) -> Tensor:
        width = torch.as_tensor(current(self.bottleneck_ratio)) * self.d_model
        return width_mask(width, self.down.out_features, width)

    def extra_repr(self) -> str:  # noqa: D102
        fixed = fixed_repr(bottleneck_ratio=self.bottleneck_ratio, residual_mix=self.residual_mix)
        return f"{self.d_model}, units={self.down.out_features}{fixed}"


def _whole_width(ratio: float, d_model: int) -> int:
    return max(1, math.floor(ratio * d_model + 1e-6))  # 0.29 * 100 is 28.999...
