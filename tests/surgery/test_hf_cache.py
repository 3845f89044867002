"""A call that continues from a cache is seen, whatever kind of cache it is."""

import pytest
import torch
from torch import nn

from dsptorch import FIR, insert
from dsptorch.surgery.hf_cache import holds_tokens


class Cached(nn.Module):
    """A model of somebody's own, with a cache of a kind that nobody knows."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 4)

    def forward(self, x, past_key_values=None):
        return self.inner(x)


@pytest.mark.parametrize(
    "cache", [((torch.ones(1, 2, 3, 4),) * 2,), [None, {"k": torch.ones(1)}]], ids=["tuple", "list"]
)
def test_a_cache_of_an_unknown_kind_is_refused_if_it_holds_something(cache):
    model, x = Cached(), torch.randn(1, 5, 4)
    insert(model, "inner", lambda _: FIR(4, 3, init="lowpass"))
    with pytest.raises(ValueError, match="history"):
        model(x, past_key_values=cache)


@pytest.mark.parametrize("cache", [None, (), [], [None, None], ((torch.ones(1, 2, 0, 4),) * 2,)], ids=str)
def test_an_empty_one_is_a_new_signal(cache):
    assert not holds_tokens(cache)
    model, x = Cached(), torch.randn(1, 5, 4)
    insert(model, "inner", lambda _: FIR(4, 3, init="lowpass"))
    assert torch.equal(model(x, past_key_values=cache), model(x))
