"""The subject of contract checks: the layer, a jittered copy, and a signal."""

import copy
from collections.abc import Callable
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from dsptorch.layers import Layer
from dsptorch.testing._engine.examples import examined, noise
from dsptorch.testing._engine.jitter import jittered

LONGEST = 160  # samples of a signal that we make ourselves
BLOCKS = 8  # of the grid in it, where a layer changes the rate


class Subject(NamedTuple):
    """The layer that is checked, and what the checks need.

    Attributes:
        layer: The layer as it came.
        jittered: A copy in float64 whose parameters are jittered: a gain of 0 would hide what is behind it.
        x: A signal for it, float64.
        factory: Builds another such layer; None: there is only this one.
        backend: The backend of `torch.compile`.
    """

    layer: Layer
    jittered: Layer
    x: Tensor
    factory: Callable[[], Layer] | None
    backend: str


class NotApplicable(Exception):  # noqa: N818, it is not an error
    """A check does not apply: its message says why."""


def subject_of(
    layer: Layer, example: Tensor | None, factory: Callable[[], Layer] | None, backend: str
) -> Subject:
    """Make what the checks need of a layer.

    Raises:
        TypeError: If it is not a dsptorch layer.
        AssertionError: If it cannot be copied.
    """
    if not isinstance(layer, Layer):
        raise TypeError(
            f"expected a dsptorch.Layer, got {type(layer).__name__}; the single checks, as "
            "dsptorch.testing.assert_streaming_equals_batch, take any module"
        )
    try:
        copied = copy.deepcopy(layer)
    except Exception as error:
        raise AssertionError(f"deepcopy fails: {type(error).__name__}: {error}") from error
    if example is None:
        parameter = next(layer.parameters(), torch.empty(0))
        example = noise(parameter.detach(), 0, 2, _length(layer), layer.d_model)
    x = example.detach().double()

    def gives_numbers(other: nn.Module) -> bool:
        try:
            with examined(other.double(), x):
                return not other(x).isnan().any()
        except Exception:
            return False

    if gives_numbers(copied):  # else a check says so
        copied = cast(Layer, jittered(layer, accepts=gives_numbers) or copied)
    copied = copied.double().eval()
    return Subject(layer, copied, x, factory, backend)


def _length(layer: Layer) -> int:
    """A length above twice the period plus the receptive field, and of some blocks where the rate changes."""
    least = 0 if layer.grid == 1 else BLOCKS * layer.grid + 1
    return max(
        least, min(LONGEST, 2 * (layer.period or 4) + (layer.receptive_field or 16) + layer.lookahead + 7)
    )
