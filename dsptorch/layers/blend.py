"""Fading a layer in from the exact identity."""

import torch
from torch import Tensor, nn

from dsptorch.functional.segments import Segments
from dsptorch.functional.stream import next_place
from dsptorch.layers.base import Layer
from dsptorch.layers.combine import CombinedState


class Blend(Layer):
    """Fade between the input and a layer's output with one learned gain, at first the identity.

        y = x + gain * (f(x) - x)

    The gain is unbounded and starts at 0: the output is then the input exactly, and the gain has a gradient,
    so training can open it. One factor is 0, not two: two zeros would never move.

    Args:
        layer: f; its output must not be late (delay 0), or the input would not stand for the same moment.
        device: The device of the gain.
        dtype: Its dtype.

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
        if not isinstance(layer, Layer):
            raise TypeError(f"Blend takes a dsptorch layer, got {type(layer).__name__}")
        if layer.delay:
            raise ValueError(
                f"Blend needs a layer without delay, got delay={layer.delay}; use Residual, which aligns"
            )
        super().__init__(layer.d_model)
        self.layer = layer
        self.gain = nn.Parameter(torch.empty(1, device=device, dtype=dtype))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Return to the identity; the layer stays."""
        self.gain.zero_()

    @property
    def lookahead(self) -> int:
        """The layer's."""
        return self.layer.lookahead

    @property
    def period(self) -> int | None:
        """The layer's."""
        return self.layer.period

    @property
    def receptive_field(self) -> int | None:
        """The layer's, with the present moment."""
        return self.layer.receptive_field

    def process(  # noqa: D102
        self, x: Tensor, state: CombinedState | None, segments: Segments | None = None
    ) -> tuple[Tensor, CombinedState]:
        y, inner = self.layer.process(x, None if state is None else state.layers[0], segments)
        after = CombinedState((inner,), *next_place(x, state, segments))
        return torch.addcmul(x, self.gain.to(x.dtype), y - x), after
