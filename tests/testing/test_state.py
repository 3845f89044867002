"""Each pass starts from the state that the model came with, and the model keeps that state."""

import pytest
import torch
from torch import nn

from dsptorch.testing import assert_causal, influence_matrix, max_lookahead
from tests.testing.honest_suspects import Cache, Codebook, Counts, DrawsOnce
from tests.testing.test_causality import SIGNAL, shifted

X = torch.randn(1, 12, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("build", [Cache, Codebook, Counts, DrawsOnce])
def test_what_a_model_keeps_is_put_back(build):
    torch.manual_seed(0)
    model = build()
    model(X[:, :3].repeat(2, 1, 1)) if build is Codebook else None
    before = {name: value.clone() for name, value in model.state_dict().items()}
    attributes = {name: value for name, value in vars(model).items() if not name.startswith("_")}
    assert_causal(model, X)
    assert max_lookahead(model, X) == 0
    assert {name: value for name, value in vars(model).items() if not name.startswith("_")} == attributes
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not getattr(model, "heard", [])


def test_a_state_hides_no_leak():
    class Hears(nn.Module):
        last = None

        def forward(self, x):
            late = 0 if self.last is None else self.last
            self.last = x[:1, -1:]
            return x + late + 0.1 * shifted(x, 1)

    with pytest.raises(AssertionError, match="not causal: the output at time"):
        assert_causal(Hears(), SIGNAL)


def test_lazy_modules_stay_lazy():
    model = nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d(), nn.Dropout(0.5))
    model[0].eval()
    wrapped = nn.Sequential(nn.LazyLinear(3), nn.ReLU())
    for check in (assert_causal, max_lookahead, influence_matrix):
        check(wrapped, X)
        assert isinstance(wrapped[0], nn.LazyLinear)
        assert nn.parameter.is_lazy(wrapped[0].weight)
    with pytest.raises(AssertionError, match="not causal"):
        assert_causal(nn.Sequential(nn.LazyLinear(3), Backwards()), X)
    wrapped[0].lock = (i for i in ())
    with pytest.raises(ValueError, match=r"lazy module that copy.deepcopy can copy.*run it once before"):
        assert_causal(wrapped, X)


class Backwards(nn.Module):
    def forward(self, x):
        return x.flip(1)


class Box:
    """Holds what no check can put back."""

    kept = None


@pytest.mark.parametrize("fails", [False, True])
def test_a_state_that_cannot_be_put_back_is_named(fails):
    box = Box()

    def model(x):
        late, box.kept = box.kept, x
        if fails and late is not None:
            raise RuntimeError("the cache is full")
        return x if late is None or late.shape != x.shape else x + late

    message = (
        "the cache is full when it was called again" if fails else "outputs that differ by .* of their size"
    )
    with pytest.raises(
        ValueError, match=rf"repeats itself, got .*{message}.* keeps a cache or a hidden state"
    ):
        assert_causal(model, SIGNAL)


def test_an_own_generator_is_named():
    generator = torch.Generator()
    for check in (assert_causal, max_lookahead):
        with pytest.raises(ValueError, match="if it draws from a generator of its own, seed that there"):
            check(lambda x: x + torch.rand(x.shape, generator=generator), SIGNAL)


def test_draws_that_depend_on_the_input_are_named():
    """A row that draws other numbers than before changes as if it saw the others."""

    class NoisyWhereLoud(nn.Module):
        def forward(self, x):
            loud = x[..., 0] > 0
            if self.training:
                x[loud] += 0.1 * torch.randn(int(loud.sum()), x.shape[-1])
            return x

    for check in (assert_causal, max_lookahead):
        with pytest.raises(ValueError, match=r"as many random numbers for every input.*in train mode"):
            check(NoisyWhereLoud(), SIGNAL)
        check(NoisyWhereLoud(), SIGNAL, train_mode=False)


def test_the_example_is_not_written_into():
    x = SIGNAL.clone()
    assert_causal(lambda x: x.mul_(2), x)
    assert torch.equal(x, SIGNAL)


def test_gradients_are_recorded_and_left_nowhere():
    model, seen = nn.Linear(4, 4), []

    class Recording(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, x):
            seen.append((self.training, torch.is_grad_enabled()))
            return self.inner(x)

    assert_causal(Recording(), SIGNAL)
    assert set(seen) == {(False, False), (False, True), (True, True)}
    assert all(p.grad is None for p in model.parameters())
