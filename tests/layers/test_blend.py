"""Blend: the exact identity at first, a mixture when its gain has moved."""

import pytest
import torch

from dsptorch import FIR, Blend, LFORouting, Multirate
from tests.layers.table import WIDTH
from tests.tolerances import assert_close, assert_same


def check_starts_as_identity(layer):
    x = torch.randn(3, 40, WIDTH) * torch.logspace(-6, 6, WIDTH)
    assert_same(layer(x).detach(), x)
    layer(x).sum().backward()
    assert layer.gain.grad.abs().item() > 0


@pytest.mark.parametrize("layer", [Multirate(WIDTH), LFORouting(WIDTH), FIR(WIDTH, 3, init="lowpass")])
def test_blend_starts_as_the_identity_and_can_leave_it(layer):
    check_starts_as_identity(Blend(layer))
    opened = Blend(layer)
    opened.gain.data.fill_(1)
    x = torch.randn(1, 9, WIDTH)
    assert_close(opened(x), layer(x))
    opened.gain.data.fill_(-0.5)
    assert_close(opened(x), 1.5 * x - 0.5 * layer(x))
    with pytest.raises(AssertionError):
        check_starts_as_identity(opened)


def test_blend_of_a_silent_layer_has_a_gradient():
    """One factor is zero, not two."""
    check_starts_as_identity(Blend(FIR(WIDTH, 2, init=torch.zeros(2, WIDTH))))
