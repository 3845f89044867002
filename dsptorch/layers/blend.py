"""Fade a layer in, starting from the exact identity."""

from typing import Any

import torch
from torch import Tensor, nn

from dsptorch.functional.memo import is_readable
from dsptorch.functional.timeline import Timeline
from dsptorch.layers.base import Layer, call_layer
from dsptorch.layers.combinators import check_keeps


class Blend(Layer):
    """Fade between the input and a layer's output with one learned gain; initially the identity.

        y = x + gain * (f(x) - x)

    The gain is unbounded and starts at 0. The output then equals the input exactly, and the gain has a gradient, so
    training can open it. While the gain is 0, an infinite or NaN output of f changes neither the output nor the
    gradients.

    Args:
        layer: The layer f, with delay 0, so that input and output stand for the same time.
        device: The device of the gain.
        dtype: The dtype of the gain.

    Shape:
        (batch, time, d_model) -> the same shape and dtype.

    Raises:
        ValueError: If the layer declares a delay.

    Example:
        >>> from dsptorch import Blend, Multirate
        >>> layer, x = Blend(Multirate(8)), torch.randn(2, 5, 8)
        >>> torch.equal(layer(x), x)
        True
    """

    no_weight_decay = ("gain",)

    def __init__(
        self,
        layer: Layer,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_keeps("Blend", layer)
        if layer.delay:
            raise ValueError(
                f"Blend needs a layer without delay, got delay={layer.delay}; use Residual, which aligns"
            )
        super().__init__(layer.d_model)
        self.layer = layer
        self.grid, self.streams = layer.grid, layer.streams
        self.gain = nn.Parameter(torch.empty(1, device=device, dtype=dtype))
        self.set_first_values()

    def first_values(self) -> dict[str, Tensor]:  # noqa: D102
        return {"gain": torch.zeros(1)}

    @property
    def lookahead(self) -> int:
        """Lookahead in samples: that of the layer."""
        return self.layer.lookahead

    @property
    def period(self) -> int | None:
        """The period of the layer."""
        return self.layer.period

    @property
    def receptive_field(self) -> int | None:
        """The receptive field of the layer."""
        return self.layer.receptive_field

    def process(self, x: Tensor, memory: Any, timeline: Timeline) -> tuple[Tensor, Any]:  # noqa: D102
        y, memory = call_layer(self.layer, x, memory, timeline)
        gain, change = self.gain.to(x.dtype), y - x
        return torch.addcmul(x, gain, _finite_where_closed(gain, change)), memory


def _finite_where_closed(gain: Tensor, change: Tensor) -> Tensor:
    """Replace infinity and NaN in the change by 0 if the gain is 0, because 0 times infinity is NaN."""
    if is_readable(gain) and gain.numel() == 1:  # reading does not wait for a device
        return change if gain else change.nan_to_num(0.0, 0.0, 0.0)
    return torch.where(gain == 0, change.nan_to_num(0.0, 0.0, 0.0), change)
