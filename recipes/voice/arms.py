"""Arms: what the network has between its first and its last layer, at one time for a step of training.

arm       what its blocks see beside the present
========  ============================================================================================================
shift     the sample before, as token shift
dilated   one sample each, 1, 2, 4, ..., 128 samples ago (WaveNet's)
at_rate   two dilated blocks, wider ones at a quarter of the rate, 1, 2, 4, 8, 16 steps ago, and one more block
ema       two averages of every channel, of learned half-lives
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from dsptorch import AtRate, Chain, EMABank, Layer, Residual

from .lpc import Delays
from .model import VoiceModel, block, linear

BASE = "shift"
FACTOR = 4  # by how much lower the rate in the middle is
LONGEST = 512.0  # the longest half-life, in samples


@dataclass(frozen=True)
class Arm:
    """A network.

    Args:
        label: its name in tables.
        width: of its layers.
        layers: builds them.
    """

    label: str
    width: int
    layers: Callable[[int], list[Layer]]


def dilated(width: int, dilations: Sequence[int]) -> list[Layer]:
    """Blocks that see the present and one sample some time ago."""
    return [block(Delays(width, (0, dilation))) for dilation in dilations]


def at_rate(width: int) -> list[Layer]:
    """Dilated blocks around others of twice the width, which run on every fourth sample."""
    wide = 2 * width
    middle = Chain(linear(width, wide), *dilated(wide, (1, 2, 4, 8, 16)), linear(wide, width))
    return [*dilated(width, (1, 2)), Residual(AtRate(middle, FACTOR)), *dilated(width, (1,))]


def averages(width: int, blocks: int) -> list[Layer]:
    """Blocks that see averages of the past."""
    return [block(EMABank(width, 2, (0.1, LONGEST))) for _ in range(blocks)]


ARMS: Mapping[str, Arm] = {
    "shift": Arm("token shift", 32, lambda width: dilated(width, (1,) * 8)),
    "dilated": Arm("dilated convolutions", 32, lambda width: dilated(width, [2**i for i in range(8)])),
    "at_rate": Arm("the same, the middle at a quarter of the rate", 32, at_rate),
    "ema": Arm("EMA banks", 36, lambda width: averages(width, 4)),
}


def build(arm: Arm) -> VoiceModel:
    """Return the model of an arm, at its first values."""
    return VoiceModel(arm.width, *arm.layers(arm.width))


def parameters(model: nn.Module) -> int:
    """Return the number of trained parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
