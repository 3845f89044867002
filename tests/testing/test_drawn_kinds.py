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

CHANGE_THE_RATE = [Decimate, Upsample, ResamplePoly]


def drawn(strategy, examples):
    """The kinds of layers, and of the layers in them."""
    found = set()

    @settings(max_examples=examples, phases=[Phase.generate], derandomize=True, database=None)
    @given(strategy)
    def draw(layer):
        found.update(type(part) for part in layer.modules())

    draw()
    return found


def test_every_kind_of_layer_is_drawn():
    assert drawn(dst.layers(), 300) >= {
        *(AtRate, Split, LFOGate),
        *(Resonator, Biquad, SOS),
        *(ModulatedDelay, Tremolo),
    }
    assert drawn(dst.layers(kinds=CHANGE_THE_RATE, rate=None), 60) >= set(CHANGE_THE_RATE)
