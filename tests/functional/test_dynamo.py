"""What exists for the compiler alone, in eager code: signals in blocks and back, and marks in the place of None."""

import pytest
import torch

from dsptorch.functional import Timeline
from dsptorch.functional.dynamo import _with_none, first_samples, in_blocks, without_none


@pytest.mark.parametrize("time", [0, 1, 4, 5, 8])
@pytest.mark.parametrize("history", [0, 3])
def test_whole_blocks_and_back(time, history):
    x = torch.randn(2, history + time, 1)
    blocks = in_blocks(x, 4, history)
    assert blocks.shape[1] - history == max(4, -(-time // 4) * 4)
    assert not blocks[:, history + time :].any()
    assert torch.equal(first_samples(blocks, history + time), x)
    assert not torch.equal(first_samples(blocks.roll(1, 1), history + time), x) or not x.numel()


@pytest.mark.parametrize("value", [None, (), (None, 3), Timeline(), (Timeline(phase=2), (None, (None,)))])
def test_none_comes_back(value):
    marked = without_none(value)
    assert "None" not in repr(marked)
    assert type(marked) is type(value) or value is None
    assert _with_none(marked) == value
