"""The plumbing: which tensor counts, and what is put back after a run."""

import copy
from functools import partial

import pytest
import torch
from torch import nn

from dsptorch.isolation import preserved, random_state_kept
from dsptorch.testing._engine.run import (
    evaluating,
    output_of,
    seed_all,
    training_without_dropout,
)

X = torch.randn(3, 10, 4)


def test_the_first_tensor_with_batch_and_time_counts():
    gru = nn.GRU(4, 5, batch_first=True)
    assert output_of(gru, X).shape == (3, 10, 5)
    assert output_of(lambda x: (x.sum(), x[:, :, 0], x), X).shape == (3, 10, 1)
    assert output_of(lambda x: {"a": None, "b": [x[:2], x + 1]}, X).equal(X + 1)
    with pytest.raises(ValueError, match=r"\(batch, time\) = \(3, 10\), got \(10, 3, 4\) and \(\);"):
        output_of(lambda x: (x.transpose(0, 1), x.sum()), X)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.drop, self.lstm = nn.BatchNorm1d(4), nn.Dropout(0.5), nn.LSTM(4, 4, 2, dropout=0.3)
        self.attention_dropout, self.resid_drop, self.p, self.seen = 0.2, 0.1, 0.7, 0.0
        self.register_buffer("cache", None)
        self.register_buffer("nan", torch.full((2,), torch.nan))

    def forward(self, x):
        self.cache, self.seen = x, 1.0
        return self.drop(self.norm(x.mT).mT)


@pytest.mark.parametrize("context", [partial(preserved, floats=True), evaluating, training_without_dropout])
def test_puts_back_modes_buffers_and_probabilities(context):
    model = Model()
    model.lstm.eval()
    before = copy.deepcopy(model)
    mean = model.norm.running_mean

    def interrupted():
        with context(model):
            model.train()
            model(X)
            assert model.norm.running_mean.any()
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert [m.training for m in model.modules()] == [m.training for m in before.modules()]
    assert model.norm.running_mean is mean
    assert not mean.any()
    assert model.norm.num_batches_tracked == 0
    assert model.cache is None
    assert model.seen == 0.0
    assert [model.drop.p, model.lstm.dropout, model.attention_dropout, model.resid_drop] == [
        0.5,
        0.3,
        0.2,
        0.1,
    ]


def test_modes():
    model = Model()
    with training_without_dropout(model):
        assert all(m.training for m in model.modules())
        assert model.drop.p == model.lstm.dropout == model.attention_dropout == model.resid_drop == 0.0
        assert model.p == 0.7  # none of a dropout layer
    with evaluating(model):
        assert not any(m.training for m in model.modules())
    with evaluating(lambda x: x), training_without_dropout(print):
        pass


def test_random_states():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    drawn = []
    with random_state_kept(everywhere=True):
        for _ in range(2):
            seed_all(7)
            drawn.append(torch.rand(4))
    assert torch.equal(*drawn)
    assert torch.equal(torch.rand(2), expected)
