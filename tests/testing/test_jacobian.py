"""The matrix of influence: where it must be zero, where not, and both methods agree."""

import pytest
import torch
from torch import nn

import dsptorch
from dsptorch.testing import influence_matrix
from tests.testing.gallery import BatchStatistics, MaskOffByOne, ahead, one_phase_of_sixteen
from tests.testing.honest import SIGNAL_MODELS, signal

X = torch.randn(1, 40, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("method", ["replace", "gradient"])
@pytest.mark.parametrize("name", SIGNAL_MODELS)
def test_an_honest_model_has_nothing_above_the_diagonal(name, method):
    matrix = influence_matrix(SIGNAL_MODELS[name](), signal(), method=method)
    assert matrix.shape == (24, 24)
    assert not matrix.triu(1).any()
    assert matrix.diagonal().all()


@pytest.mark.parametrize("method", ["replace", "gradient"])
def test_a_leak_is_where_it_is(method):
    matrix = influence_matrix(one_phase_of_sixteen, X, method=method)
    assert matrix.triu(1).nonzero().tolist() == [[11, 12], [27, 28]]


@pytest.mark.parametrize("method", ["replace", "gradient"])
def test_is_the_band_of_a_filter(method):
    layer = dsptorch.FIR(4, 5, init=torch.ones(5, 4))
    assert torch.equal(influence_matrix(layer, X, method=method) > 0, torch.ones(40, 40).tril().triu(-4) > 0)


def test_a_gradient_is_the_taps():
    matrix = influence_matrix(lambda x: 2 * x + 3 * ahead(x), X[..., :1], method="gradient")
    assert torch.allclose(matrix, (2 * torch.eye(40) + 3 * torch.eye(40).roll(1, 1).triu()).double())


def test_token_ids():
    ids = torch.randint(0, 11, (1, 16))
    matrix = influence_matrix(MaskOffByOne(), ids, vocab_size=11)
    assert matrix.diagonal(1).all()
    assert not matrix.triu(2).any()


def test_mixed_rows_are_changed_together():
    """Were they changed one by one, every input time would seem to matter to every output."""
    matrix = influence_matrix(lambda x: x - x.mean(0, keepdim=True), torch.randn(2, 12, 3))
    assert torch.equal(matrix > 0, torch.eye(12) > 0)


def test_leaves_the_model_alone():
    model = BatchStatistics()
    state, before = torch.get_rng_state(), {k: v.clone() for k, v in model.state_dict().items()}
    influence_matrix(model, X)
    influence_matrix(model, X, method="gradient")
    assert model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("model", "example", "method", "message"),
    [
        (nn.Identity(), X, "nan", '"replace" or "gradient", got \'nan\''),
        (
            nn.Embedding(3, 2),
            torch.zeros(1, 5, dtype=torch.int64),
            "gradient",
            "takes real signals, got torch.int64",
        ),
        (lambda x: x.detach(), X, "gradient", "no gradient with respect to the example"),
    ],
)
def test_refuses(model, example, method, message):
    with pytest.raises(ValueError, match=message):
        influence_matrix(model, example, method=method)
