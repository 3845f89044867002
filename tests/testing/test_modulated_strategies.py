"""Strategies of oscillators and of what they move draw every waveform, and what they draw packs."""

import pytest
import torch
from hypothesis import find, given

from dsptorch import Tremolo
from dsptorch.testing import assert_packs
from dsptorch.testing import strategies as dst
from tests.layers.table import signal
from tests.strategies import fails, holds
from tests.testing.broken_modulation import CountsTheWholeRow

T = torch.arange(50)


@given(dst.lfos())
def test_oscillators_stay_between_minus_one_and_one(lfo):
    assert lfo(T).shape == (50, lfo.num)
    assert lfo(T).abs().max() <= 1 + 1e-6


@pytest.mark.parametrize("waveform", ["sine", "triangle", "square", "saw"])
def test_every_waveform_is_drawn(waveform):
    assert find(dst.lfos(), lambda lfo: lfo.waveform == waveform).waveform == waveform


def test_drawn_layers_pack():
    holds(lambda layer: assert_packs(layer.double(), signal(2, 12)), dst.modulated_layers())


def test_a_phase_that_is_not_reset_is_caught():
    def check(layer):
        layer.__class__ = CountsTheWholeRow
        assert_packs(layer.double(), signal(2, 24))

    fails(check, dst.modulated_layers(kind=Tremolo).filter(lambda layer: isinstance(layer.depth, float)))
