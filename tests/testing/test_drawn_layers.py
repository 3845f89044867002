"""Every kind of layer is among those that are drawn."""

import pytest
from hypothesis import HealthCheck, Phase, find, settings
from hypothesis.errors import NoSuchExample

import dsptorch as d
from dsptorch.testing import strategies as dst

RESAMPLERS = (d.Decimate, d.Upsample, d.ResamplePoly)
KINDS = {d.AtRate, d.Split, d.Subbands}
KINDS |= {d.Resonator, d.Biquad, d.SOS}
KINDS |= {d.UndecimatedBank, d.FilterBank, d.Lifting, d.Wavelet, d.WaveletPacket}
KINDS |= {d.LFOGate, d.ModulatedDelay, d.Tremolo}


def check_draws(layers, kinds, most=4000):
    """Draw until every kind has been seen."""
    drawn = set()

    def complete(layer):
        drawn.update(type(part) for part in layer.modules())
        return kinds <= drawn

    options = settings(
        max_examples=most,
        phases=[Phase.generate],
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    try:
        find(layers, complete, settings=options)
    except NoSuchExample:
        missing = {kind.__name__ for kind in kinds - drawn}
        raise AssertionError(f"not drawn: {missing}") from None


def test_every_kind_of_layer_is_drawn():
    check_draws(dst.layers(rate=None), KINDS)
    check_draws(dst.layers(kinds=RESAMPLERS, rate=None, depth=0), set(RESAMPLERS))


def test_a_kind_that_is_not_drawn_is_caught():
    with pytest.raises(AssertionError, match=r"not drawn: .'Delay'"):
        check_draws(dst.layers(kinds=[d.FIR], depth=0), {d.FIR, d.Delay}, most=50)
