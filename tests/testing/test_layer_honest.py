"""`check_layer` on layers that are easily accused, or easily believed: hooks, parameters of few values, recording."""

import pytest
import torch

from dsptorch import FIR, Layer
from dsptorch.testing import check_layer
from dsptorch.testing.contract import CONTRACT
from tests.layers.table import WIDTH


class OtherWhileRecording(FIR):
    def process(self, x, memory, timeline):
        y, memory = super().process(x, memory, timeline)
        return 2 * y if torch.is_grad_enabled() else y, memory


class Gain(Layer):
    """A gain that is a function of a parameter."""

    lookahead, period, receptive_field = 0, 1, 1

    def __init__(self, function, value):
        super().__init__(WIDTH)
        self.function, self.gain = function, torch.nn.Parameter(torch.full((WIDTH,), value))

    def process(self, x, memory, timeline):
        return x * self.function(self.gain), ()


class HookedOff(Gain):
    """What would leak has a gain of 0 that a hook keeps there."""

    def __init__(self):
        super().__init__(torch.abs, 0.0)
        self.gain.register_hook(torch.zeros_like)

    def process(self, x, memory, timeline):
        return x + self.gain * x.flip(1), ()


def test_an_output_that_is_another_while_gradients_are_recorded():
    with pytest.raises(AssertionError, match="- shapes: the output while gradients are recorded differs at"):
        check_layer(OtherWhileRecording(WIDTH), skip=CONTRACT.keys() - {"shapes"})


@pytest.mark.parametrize(
    "layer",
    [
        lambda: Gain(torch.sqrt, 1e-6),
        lambda: Gain(torch.sqrt, 0.0),
        lambda: Gain(lambda p: torch.log(1 - p), 0.97),
    ],
)
def test_parameters_that_take_not_every_value_are_no_fault(layer):
    check_layer(layer(), skip={"compiles", "exports", "serializes", "gradients", "dtypes", "resets"})


def test_a_leak_that_a_hook_keeps_closed_is_no_leak():
    check_layer(HookedOff(), skip=CONTRACT.keys() - {"lookahead"})
