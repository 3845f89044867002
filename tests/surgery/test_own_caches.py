"""Models of somebody's own on caches of transformers, and caches of somebody's own."""

import copy

import pytest
import torch
from torch import nn

from dsptorch import FIR, insert, streaming
from tests.surgery.models import draw, lag, small
from tests.tolerances import assert_close

transformers = pytest.importorskip("transformers")


def caching(forward, **parts):
    """A model of somebody's own, with a cache of transformers."""
    made = small(forward, **parts)
    insert(made, "inner", lag)
    return made


def grow(cache, x):
    cache.update(x.unsqueeze(1), x.unsqueeze(1), 0)


def check_rows_are_moved():
    """By a cache of somebody's own, which asks one of its layers alone."""

    class OwnCache(transformers.DynamicCache):
        def batch_select_indices(self, indices):
            self.layers[0].batch_select_indices(indices)

    def forward(self, x, past_key_values=None):
        grow(past_key_values, x)
        return self.inner(x)

    model, x, cache, rows = (
        caching(forward, inner=nn.Linear(4, 4)),
        draw(2, 9, 4),
        OwnCache(),
        torch.tensor([1, 0]),
    )
    with streaming(model):
        model(x[:, :4], past_key_values=cache)
        cache.batch_select_indices(rows)
        y = model(x[rows, 4:], past_key_values=cache)
    assert_close(y, model.inner(x)[rows, 4:])


def test_a_cache_that_moves_its_rows_by_itself_is_refused():
    with pytest.raises(ValueError, match="continues from past_key_values, a OwnCache"):
        check_rows_are_moved()


def test_a_kind_that_is_taken_for_a_known_one_is_caught(monkeypatch):
    monkeypatch.setattr("dsptorch.surgery.hf_cache._MOVES", ())
    with pytest.raises(AssertionError):
        check_rows_are_moved()


def test_a_layer_that_some_call_did_not_reach_is_refused():
    def forward(self, x, past_key_values=None, reach=True):
        grow(past_key_values, x)
        return self.inner(x) if reach else x

    model, x, cache = caching(forward, inner=nn.Linear(4, 4)), draw(1, 9, 4), transformers.DynamicCache()
    with streaming(model):
        y = torch.cat([model(chunk, past_key_values=cache) for chunk in x.split(3, 1)], 1)
        assert_close(y, model.inner(x))
        model(x, past_key_values=cache, reach=False)
        with pytest.raises(
            ValueError, match=r"inner\.dsp_before was not reached by every call on this cache"
        ):
            model(x, past_key_values=cache)


def test_a_layer_outside_of_what_takes_the_cache_is_refused():
    inside = caching(lambda self, x, past_key_values=None: self.inner(x), inner=nn.Linear(4, 4))
    model = nn.Sequential(FIR(4, 3), inside)
    with (
        pytest.raises(ValueError, match=r"0 stands outside of 1, whose cache says where a signal begins"),
        streaming(model),
    ):
        pass
    with streaming(inside):
        model(draw(1, 5, 4))


def test_a_call_that_fails_half_way_is_refused_with_the_cache_that_it_left():
    def forward(self, x, past_key_values=None, fail=False):
        grow(past_key_values, x)
        y = self.inner(x)
        return 1 / 0 if fail else y

    model, x, cache = caching(forward, inner=nn.Linear(4, 4)), draw(1, 9, 4), transformers.DynamicCache()
    whole = model.inner(x)
    with streaming(model):
        assert_close(model(x[:, :3], past_key_values=cache), whole[:, :3])
        kept = copy.deepcopy(cache)
        with pytest.raises(ZeroDivisionError):
            model(x[:, 3:], past_key_values=cache, fail=True)
        with pytest.raises(
            ValueError, match=r"9 tokens, of which the dsptorch layers saw 3.*failed half-way"
        ):
            model(x[:, 3:], past_key_values=cache)
        assert_close(model(x[:, 3:], past_key_values=kept), whole[:, 3:])
