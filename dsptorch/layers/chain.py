"""Layers in series."""

from fractions import Fraction
from itertools import pairwise
from math import floor, lcm
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dsptorch.functional.dynamo import first_samples
from dsptorch.functional.timeline import Timeline, outputs_before
from dsptorch.layers.base import Layer, call_layer, whole
from dsptorch.layers.combinators import Combined, check_layers


class Chain(Combined):
    """Apply layers in series.

    If layers change the rate, outputs that are not yet due are held back, so that ceil(t * rate) outputs are out after
    t inputs. A chain that decimates by 4, filters, and upsamples by 4 has rate 1 and delay 0, and streams sample by
    sample.

    Args:
        *layers: The layers, first to last. The output width of a layer must be the input width of the next.

    Shape:
        (batch, time, d_model) -> (batch, ceil(time * rate), d_out), in the same dtype.

    Example:
        >>> import torch
        >>> from dsptorch import FIR, Chain, Multirate
        >>> layer = Chain(FIR(8, 3), Multirate(8))
        >>> layer.receptive_field, layer.period
        (13, 2)
    """

    def __init__(self, *layers: Layer) -> None:
        layers = check_layers("Chain", layers)
        for first, then in pairwise(layers):
            if first.d_out != then.d_model:
                raise ValueError(
                    f"Chain needs layers whose widths meet, got {first.d_out} channels out of "
                    f"{type(first).__name__} and d_model={then.d_model} of the {type(then).__name__} after it"
                )
        super().__init__(layers, layers[0].d_model, layers[-1].d_out)
        self._rates = [Fraction(1)]  # the rate before each layer and after the last
        for layer in layers:
            self._rates.append(self._rates[-1] * layer.rate)
        self.rate = self._rates[-1]
        self.grid = lcm(*((rate / layer.grid).denominator for rate, layer in self._stages()))
        self._most_waiting = max(map(self._waiting, range(self.grid)))  # the most outputs ever held back

    @property
    def lookahead(self) -> int:
        """Lookahead in input samples: the sum over the layers."""
        # In integers, because `step` computes this under Dynamo, which does not support fractions.
        return sum(-(-layer.lookahead * rate.denominator // rate.numerator) for rate, layer in self._stages())

    @property
    def delay(self) -> int | Fraction:
        """Delay in input samples: the sum over the layers."""
        return whole(sum((layer.delay / rate for rate, layer in self._stages()), Fraction(0)))

    @property
    def period(self) -> int | None:
        """Period in input samples: the least common multiple of the layers' periods; None if a layer has none."""
        periods = [(rate, layer.period) for rate, layer in self._stages()]
        known = [(rate / period).denominator for rate, period in periods if period is not None]
        return lcm(*known) if len(known) == len(periods) else None

    @property
    def receptive_field(self) -> int | None:
        """Receptive field: the sum of the layers' extents in the past and future; None if one is None."""
        past = Fraction(0)
        for rate, layer in self._stages():
            if layer.receptive_field is None:
                return None
            # floor(n / rate) is up to 1 - 1 / L below n / rate, L = rate.numerator, so an input can be that much older.
            rounded = 1 - Fraction(1, layer.rate.numerator)
            past += (layer.receptive_field - 1 - layer.lookahead + rounded) / rate
        return floor(past) + 1 + self.lookahead

    def process(self, x: Tensor, memory: Any, timeline: Timeline) -> tuple[Tensor, Any]:  # noqa: D102
        y, clock, memories = x, timeline, []
        for layer, before in zip(self.members, self._memories(memory), strict=True):
            y, after = call_layer(layer, y, before, clock)
            clock = clock.resampled(layer.rate)
            memories.append(after)
        if not self._most_waiting:
            return y, tuple(memories)
        first, end = timeline.phase, timeline.phase + x.shape[1]
        if memory is not None:
            y = torch.cat([memory[-1][:, : self._waiting(first)].to(y.dtype), y], 1)
        due = outputs_before(end, self.rate) - outputs_before(first, self.rate)
        # By index, because an exporter cannot prove that no slice has a negative length.
        later = due + torch.arange(self._most_waiting, device=y.device)
        rest = F.pad(y, (0, 0, 0, self._most_waiting)).index_select(1, later)
        return first_samples(y, due), (*memories, rest)

    def _stages(self) -> list[tuple[Fraction, Layer]]:
        """Each layer with the rate of its input."""
        return list(zip(self._rates, self.members, strict=False))

    def _waiting(self, time: int) -> int:
        """Number of outputs that the layers compute from `time` inputs before they are due."""
        made = time
        for layer in self.members:
            made = outputs_before(made, layer.rate)
        return made - outputs_before(time, self.rate)
