"""The public check takes any model and example, costs what it says, leaves no trace, and refuses by name."""

import copy
import dataclasses
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import dsptorch
from dsptorch.testing import assert_causal
from tests.layers.table import WIDTH
from tests.testing.gallery import SamePadding
from tests.testing.test_causality import SIGNAL, shifted


@pytest.mark.parametrize("leaks", [False, True])
def test_leaves_modes_and_random_state_as_they_were(leaks):
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 4), nn.Sequential(nn.Dropout(0.5)), Noise(leaks))
    model[1].eval()
    model[2].train()
    modes = [module.training for module in model.modules()]
    state = torch.get_rng_state()
    if leaks:
        with pytest.raises(AssertionError):
            assert_causal(model, SIGNAL)
    else:
        assert_causal(model, SIGNAL)
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)


class Noise(nn.Module):
    """Draws random numbers, and may leak."""

    def __init__(self, leaks):
        super().__init__()
        self.leaks = leaks

    def forward(self, x):
        torch.rand(3)
        return shifted(x, 1) if self.leaks else x


def test_a_function_is_not_left_with_another_random_state():
    state = torch.get_rng_state()
    assert_causal(lambda x: x + 0 * torch.rand(1), SIGNAL)
    assert torch.equal(torch.get_rng_state(), state)


def test_changes_nothing_of_the_example():
    x = SIGNAL.clone().requires_grad_()
    assert_causal(dsptorch.Multirate(WIDTH), x)
    assert torch.equal(x, SIGNAL)
    assert x.grad is None


def test_repeats_itself():
    model = SamePadding()

    def message():
        with pytest.raises(AssertionError) as caught:
            assert_causal(model, SIGNAL)
        return str(caught.value)

    assert message() == message()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions(dtype):
    assert_causal(lambda x: x.cumsum(1), SIGNAL.to(dtype))
    with pytest.raises(AssertionError):
        assert_causal(lambda x: x + shifted(x, 1), SIGNAL.to(dtype))


@pytest.mark.parametrize(
    ("model", "example", "kind", "message"),
    [
        (nn.Identity(), [1.0], TypeError, "example must be a tensor, got list"),
        (nn.Identity(), torch.ones(5), ValueError, r"\(batch, time\).*got shape \(5,\)"),
        (nn.Identity(), torch.ones(0, 5, 2), ValueError, r"at least 1 row.*got shape \(0, 5, 2\)"),
        (nn.Identity(), torch.ones(1, 1, 2), ValueError, r"2 time steps.*got shape \(1, 1, 2\)"),
        (lambda x: x.sum(1), torch.ones(1, 5, 2), ValueError, r"\(batch, time\) = \(4, 5\), got \(4, 2\)"),
        (lambda x: None, torch.ones(1, 5, 2), ValueError, "got"),
        (lambda x: (None, 3), torch.ones(1, 5, 2), ValueError, "got no tensor at all"),
    ],
)
def test_refuses(model, example, kind, message):
    with pytest.raises(kind, match=message):
        assert_causal(model, example)


@dataclasses.dataclass
class Output:
    loss: object
    logits: object


@pytest.mark.parametrize(
    "shape_of",
    [
        lambda y: (y, (y.sum(), None)),
        lambda y: [None, y],
        lambda y: {"loss": y.sum(), "logits": y},
        lambda y: Output(y.sum(), y),
        lambda y: Output(None, {"last": (3, y)}),
        lambda y: y.sum(-1),
        lambda y: y.unflatten(-1, (2, 2)),
    ],
)
def test_outputs_of_any_kind(shape_of):
    assert_causal(lambda x: shape_of(x.cumsum(1)), SIGNAL)
    with pytest.raises(AssertionError, match="not causal"):
        assert_causal(lambda x: shape_of(shifted(x, 1)), SIGNAL)


@pytest.mark.parametrize(
    "example",
    [
        torch.randn(1, 20, 4, dtype=torch.complex64),
        torch.randn(1, 20, 3, 4),
        torch.randn(1, 20),
        torch.randint(0, 9, (1, 20, 3)),
        torch.randint(0, 9, (1, 20), dtype=torch.int32),
        torch.rand(1, 20, 4) > 0.5,
        torch.zeros(1, 20, 4),
        torch.randn(1, 20, 4, dtype=torch.float16),
        torch.randn(1, 2, 4),
    ],
    ids=lambda x: f"{x.dtype}{tuple(x.shape)}",
)
def test_examples_of_any_kind(example):
    assert_causal(lambda x: x, example)
    with pytest.raises(AssertionError, match="not causal"):
        assert_causal(lambda x: x.roll(-1, 1), example)


class Restless(nn.Module):
    """Everything that a model may keep: statistics, a counter, a buffer that is replaced, dropout."""

    def __init__(self):
        super().__init__()
        self.norm, self.drop, self.attention_dropout = nn.BatchNorm1d(4), nn.Dropout(0.4), 0.3
        self.gain = nn.Parameter(torch.zeros(()))
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.register_buffer("last", None)

    def forward(self, x):
        self.calls += 1
        self.last = x.detach()
        x = F.dropout(self.drop(x), self.attention_dropout, self.training)
        luck = random.random() * np.random.rand()  # noqa: NPY002
        return x + luck * self.gain * self.norm(x.transpose(1, 2)).transpose(1, 2)


def test_leaves_everything_as_it_was():
    model = Restless()
    model.drop.eval()
    before, keys = copy.deepcopy(model), set(model.state_dict())
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    with pytest.raises(AssertionError, match=r"in train mode .* once training has moved"):
        assert_causal(model, SIGNAL)
    assert set(model.state_dict()) == keys
    assert model.last is None
    assert all(torch.equal(value, before.state_dict()[name]) for name, value in model.state_dict().items())
    assert [m.training for m in model.modules()] == [m.training for m in before.modules()]
    assert (model.drop.p, model.attention_dropout) == (0.4, 0.3)
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.random.get_state()[1].tolist() == states[2]  # noqa: NPY002


class Counting(nn.Module):
    """How many rows and passes it was asked for."""

    def __init__(self, most=None):
        super().__init__()
        self.gain, self.most, self.rows = nn.Parameter(torch.ones(())), most, []

    def forward(self, x):
        if self.most is not None and len(x) != self.most:
            raise RuntimeError(f"this model takes {self.most} rows")
        ROWS.append(len(x))
        return self.gain * F.one_hot(x, 11).float()


ROWS: list[int] = []


@pytest.mark.parametrize("time", [40, 256])
def test_costs_what_it_says(time):
    ids = torch.zeros(1, time, dtype=torch.int64)
    counted = []
    for options in ({"train_mode": False, "jitter": False}, {}, {"thorough": True}):
        ROWS.clear()
        assert_causal(Counting(), ids, vocab_size=11, **options)
        counted.append(sum(ROWS))
    cuts = -(-(time - 1) // 64) * 64 if time > 64 else time - 1
    assert counted[0] == min(64, time - 1) + cuts + 8 + 10  # ... and one row alone, and with gradients
    assert counted[1] <= counted[0] + 100
    assert max(ROWS) <= 64


def test_a_model_that_takes_one_number_of_rows():
    for rows in (1, 2, 3):
        ids = torch.randint(0, 11, (rows, 12))
        assert_causal(Counting(rows), ids, vocab_size=11)
        with pytest.raises(AssertionError, match="not causal: the output at time"):
            assert_causal(nn.Sequential(Counting(rows), Ahead()), ids, vocab_size=11)
    with pytest.raises(RuntimeError, match="takes 5 rows"):
        assert_causal(Counting(5), torch.randint(0, 11, (2, 12)), vocab_size=11)


class Ahead(nn.Module):
    def forward(self, x):
        return shifted(x, 1)


def test_large_outputs_run_in_smaller_passes():
    seen = []

    def model(ids):
        seen.append(len(ids))
        return torch.zeros(1).expand(*ids.shape, 200_000)

    assert_causal(model, torch.zeros(1, 8, dtype=torch.int64), vocab_size=5)
    assert max(seen) < 12
    assert len(seen) >= 3


def test_a_model_that_does_not_run_in_train_mode():
    class Picky(nn.Module):
        def forward(self, x):
            if self.training:
                raise RuntimeError("no labels")
            return x

    with pytest.raises(ValueError, match=r"RuntimeError: no labels\. Make it run, or pass train_mode=False"):
        assert_causal(Picky(), SIGNAL)
    assert_causal(Picky(), SIGNAL, train_mode=False)


def test_an_assertion_of_the_model_is_no_verdict():
    def model(x):
        assert x.shape[1] < 8, "block size"
        return x

    with pytest.raises(ValueError, match="its own AssertionError: block size"):
        assert_causal(model, SIGNAL)
