"""Pointwise: any module that sees one sample at a time."""

import torch
from torch import nn

from dsptorch import Pointwise
from tests.layers.table import WIDTH
from tests.tolerances import assert_same


def test_pointwise():
    mlp, x = nn.Sequential(nn.Linear(WIDTH, 9), nn.GELU(), nn.Linear(9, WIDTH)), torch.randn(2, 5, WIDTH)
    assert_same(Pointwise(mlp, WIDTH)(x), mlp(x))
    assert (Pointwise(mlp, WIDTH).lookahead, Pointwise(mlp, WIDTH).receptive_field) == (0, 1)
