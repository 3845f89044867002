"""The strategy of layers leaves out no kind."""

from hypothesis import Phase, given, settings

from dsptorch import (
    SOS,
    AtRate,
    Biquad,
    Decimate,
    LFOGate,
    ModulatedDelay,
    ResamplePoly,
    Resonator,
    Split,
    Tremolo,
    Upsample,
)
from dsptorch.testing import strategies as dst


def test_every_kind_of_layer_is_drawn():
    drawn = set()

    @settings(max_examples=500, phases=[Phase.generate], derandomize=True, database=None)
    @given(dst.layers(rate=None))
    def draw(layer):
        drawn.update(type(part) for part in layer.modules())

    draw()
    assert drawn >= {AtRate, Split, Decimate, Upsample, ResamplePoly, Resonator, Biquad, SOS}
    assert drawn >= {LFOGate, ModulatedDelay, Tremolo}
