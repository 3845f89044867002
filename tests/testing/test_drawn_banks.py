"""Filterbanks of every kind are among the layers that are drawn."""

import pytest
from hypothesis import find

from dsptorch import FilterBank, Lifting, Subbands, Wavelet, WaveletPacket
from dsptorch.testing import strategies as dst


@pytest.mark.parametrize("kind", [FilterBank, Lifting, Wavelet, WaveletPacket])
def test_every_kind_of_bank_is_drawn(kind):
    def has_it(layer):
        return isinstance(layer, Subbands) and type(layer.members[0]) is kind

    assert has_it(find(dst.layers(), has_it))
