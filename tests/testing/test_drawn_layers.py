"""Every kind of layer is among those that are drawn."""

import pytest
from hypothesis import HealthCheck, Phase, find, settings
from hypothesis.errors import NoSuchExample

import dsptorch as d
from dsptorch.testing import strategies as dst

QUICK = settings(
    phases=[Phase.generate], max_examples=2000, database=None, suppress_health_check=list(HealthCheck)
)
"""To the first example, which need not be the simplest."""
KINDS = [
    d.AtRate,
    d.Split,
    d.Subbands,
    d.Decimate,
    d.Upsample,
    d.ResamplePoly,
    d.Resonator,
    d.Biquad,
    d.SOS,
    d.UndecimatedBank,
    d.FilterBank,
    d.Lifting,
    d.Wavelet,
    d.WaveletPacket,
]


def holds(kind):
    """Whether a layer of this kind is in a layer, or is that layer."""
    return lambda layer: any(type(part) is kind for part in layer.modules())


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_drawn(kind):
    find(dst.layers(rate=None), holds(kind), settings=QUICK)


def test_a_kind_that_is_not_drawn_is_caught():
    with pytest.raises(NoSuchExample):
        find(dst.layers(kinds=[d.FIR]), holds(d.LFORouting), settings=settings(QUICK, max_examples=20))
