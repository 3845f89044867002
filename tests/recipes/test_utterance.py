"""The bands of one spoken syllable, as the gallery draws them."""

import json
from pathlib import Path

import pytest
import torch
from syllables.utterance import extremes

RESULT = Path(__file__).resolve().parents[2] / "recipes" / "results" / "syllables" / "utterance.json"


def test_extremes_are_those_of_each_stretch():
    assert extremes(torch.tensor([1.0, -2.0, 3.0, 0.5, -0.25]), 2) == [[-2.0, 0.5, -0.25], [1.0, 3.0, -0.25]]


def check(found):
    """Every curve has one pair for each stretch, and the sum of bands cannot leave the sum of their extremes."""
    curves = found["extremes"]
    points = -(-found["samples"] // found["stretch"])
    assert all(len(side) == points for curve in curves.values() for side in curve)
    assert max(curves["signal"][1] + [-value for value in curves["signal"][0]]) == found["greatest sample"]
    bands = [torch.tensor(curve) for name, curve in curves.items() if name != "signal"]
    least, greatest = sum(bands)
    signal = torch.tensor(curves["signal"])
    assert (signal[0] >= least - 1e-3).all()
    assert (signal[1] <= greatest + 1e-3).all()
    assert found["error of the sum"] < 1e-6 * found["greatest sample"]


def test_the_committed_bands_may_add_up_to_the_signal():
    found = json.loads(RESULT.read_text())
    check(found)
    assert "CC BY 3.0" in found["data"]
    del found["extremes"]["d_4"]  # planted: a band is missing
    with pytest.raises(AssertionError):
        check(found)
