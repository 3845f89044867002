"""A probe proves that inserted layers leave each row of a batch to itself, and leaves no trace."""

import pytest
import torch
from torch import nn

from dsptorch import FIR, Multirate, insert, remove
from tests.surgery.models import WIDTH, check_unchanged, model, snapshot
from tests.tolerances import assert_same

ROWS, TIME = 2, 6  # so that the rows divide the time


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def lag(_=None):
    return FIR(WIDTH, 3, init="delays")


class TimeFirst(nn.Module):
    """Takes (batch, time, channels), and works on (time, batch, channels), which nothing shows."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        return self.inner(x.transpose(0, 1)).transpose(0, 1)


class OverRows(nn.Module):
    """A layer that mixes rows."""

    def forward(self, x):
        return x + x.mean(0)


def test_a_filter_across_the_batch_is_caught():
    m, x = TimeFirst(), draw(ROWS, TIME, WIDTH)
    keys, before = list(m.state_dict()), m(x)
    insert(m, "inner", lag)  # nobody notices
    remove(m)
    with pytest.raises(
        ValueError, match=r"inner.dsp_before would mix the rows.*\(6, 2, 4\).*'tbd' if time comes first"
    ):
        insert(m, "inner", lag, example=x)
    assert list(m.state_dict()) == keys
    assert "forward" not in vars(m.inner)
    assert_same(m(x), before)
    insert(m, "inner", lag, layout="tbd", example=x)


@pytest.mark.parametrize("identity", [True, False])
def test_also_while_the_layer_is_the_identity(identity):
    with pytest.raises(ValueError, match="would mix"):
        insert(TimeFirst(), "inner", lag, example=draw(ROWS, TIME, WIDTH), identity=identity)


def test_a_layer_that_mixes_rows_itself_is_caught():
    m = model()
    with pytest.raises(
        ValueError, match=r"with head.dsp_before an output of shape.*treat each row by itself"
    ):
        insert(m, "head", lambda _: OverRows(), example=draw(ROWS, TIME, WIDTH))


def test_a_model_that_mixes_rows_itself_is_named():
    m = nn.Sequential(OverRows(), nn.Linear(WIDTH, WIDTH))
    with pytest.raises(ValueError, match=r"without any inserted layer.*the model mixes rows itself"):
        insert(m, "1", lag, example=draw(ROWS, TIME, WIDTH))


def test_a_batch_that_is_elsewhere_is_named():
    m = nn.Sequential(nn.GRU(WIDTH, WIDTH))
    probe = draw(TIME, ROWS, WIDTH)
    with pytest.raises(ValueError, match=r"batch is not in dimension 0 of the example, which batch_dim says"):
        insert(m, "0", lag, layout="tbd", example=probe)
    insert(m, "0", lag, layout="tbd", example=probe, batch_dim=1)


@pytest.mark.parametrize(
    ("probe", "kind", "message"),
    [
        ([draw(2, 6, WIDTH)], TypeError, "a tensor, a tuple of arguments or a dict of keywords, got list"),
        (draw(1, 6, WIDTH), ValueError, r"at least 2 rows in dimension 0 \(batch_dim\), got 1"),
        (draw(1, 6, WIDTH).expand(2, 6, WIDTH), ValueError, "a second row that differs from the first"),
        ((), ValueError, "at least 2 rows.*got 0"),
        (draw(2, 6, WIDTH + 1), ValueError, "FIR expects 4 channels"),  # from within the model
    ],
)
def test_a_probe_that_proves_nothing_is_refused(probe, kind, message):
    m = model()
    before = snapshot(m)
    with pytest.raises(kind, match=message):
        insert(m, "blocks.*", lag, example=probe)
    check_unchanged(m, before)


@pytest.mark.parametrize("batch_dim", [-1, 1.0])
def test_a_wrong_batch_dim_is_refused(batch_dim):
    m = model()
    before = snapshot(m)
    with pytest.raises((TypeError, ValueError), match="batch_dim must be"):
        insert(m, "blocks.*", lag, example=draw(2, 6, WIDTH), batch_dim=batch_dim)
    check_unchanged(m, before)


def test_a_place_that_the_probe_does_not_reach_is_named():
    m = model()
    m.spare = nn.Linear(WIDTH, WIDTH)
    with pytest.raises(ValueError, match=r"spare.dsp_before was not called on the example"):
        insert(m, "spare", lag, example=draw(2, 6, WIDTH))


def test_what_belongs_to_all_rows_may():
    """Positions, and a mask (time, time), are the same for all."""

    class Positions(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(TIME, WIDTH)

        def forward(self, x, mask):
            return mask @ (x + self.table(torch.arange(TIME))[None])

    m = Positions()
    insert(
        m,
        "table",
        lambda _: nn.Identity(),
        position="after",
        example=(draw(ROWS, TIME, WIDTH), torch.eye(TIME)),
    )


class Stateful(nn.Module):
    """Leaves traces: a counter, a list, buffers written and assigned, random numbers."""

    def __init__(self):
        super().__init__()
        self.calls, self.seen = 0, []
        self.register_buffer("written", torch.zeros(1))
        self.register_buffer("assigned", torch.zeros(1))
        self.norm = nn.BatchNorm1d(WIDTH)
        self.mix = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        self.calls += 1
        self.seen.append(x)
        self.written += 1
        self.assigned = self.assigned + 1
        x.mul_(2)
        x = self.norm(x.transpose(1, 2)).transpose(1, 2) + torch.rand(())
        return nn.functional.dropout(self.mix(x), training=self.training)


def test_leaves_no_trace():
    m, x = Stateful(), draw(ROWS, TIME, WIDTH)
    m.mix.weight.grad = torch.ones(WIDTH, WIDTH)
    m.norm.eval()
    state, probe = {key: value.clone() for key, value in m.state_dict().items()}, x.clone()
    random, hooks = torch.get_rng_state(), list(m.mix._forward_hooks)
    insert(m, "mix", lambda _: Multirate(WIDTH), example=x)
    assert m.calls == 0
    assert m.seen == []
    assert m.training
    assert not m.norm.training
    assert m.mix.training
    assert torch.equal(x, probe)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(m.state_dict()[key], value) for key, value in state.items())
    assert m.mix.weight.grad.sum() == WIDTH * WIDTH
    assert list(m.mix._forward_hooks) == hooks
    assert not m.mix.dsp_before._forward_pre_hooks


@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_a_probe_of_rows_that_differ_in_length(layout):
    probe = torch.nested.as_nested_tensor([draw(6, WIDTH), draw(3, WIDTH), draw(4, WIDTH)], layout=layout)
    m = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH))
    insert(m, "1", lag, example=probe)

    class Mean(FIR):
        def forward(self, x, segment_ids=None):
            return x + x.mean((0, 1))

    with pytest.raises(ValueError, match=r"with 0.dsp_after an output of shape"):
        insert(m, "0", lambda _: Mean(WIDTH), position="after", example=probe)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_a_probe_whose_first_row_is_the_longest():
    """With another first row its batch is shorter within PyTorch's fast path."""
    m = nn.TransformerEncoder(nn.TransformerEncoderLayer(WIDTH, 2, 8, batch_first=True), 2)
    padding = torch.tensor([[False] * 6, [False] * 3 + [True] * 3, [False] * 4 + [True] * 2])
    insert(m, "layers.*", lag, example={"src": draw(3, TIME, WIDTH), "src_key_padding_mask": padding})


def test_a_number_of_calls_that_depends_on_the_first_row():
    class Loop(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(WIDTH, WIDTH)

        def forward(self, x):
            for _ in range(int(x[0, 0, 0].item())):
                self.inner(x)
            return x

    with pytest.raises(ValueError, match="was called 3 times on the example and 1 with another first row"):
        insert(Loop(), "inner", lag, example=torch.tensor([[[3.0] * WIDTH], [[1.0] * WIDTH]]))


def test_a_probe_of_keywords():
    m = TimeFirst()
    with pytest.raises(ValueError, match="would mix"):
        insert(m, "inner", lag, example={"x": draw(ROWS, TIME, WIDTH)})
    insert(m, "inner", lag, layout="tbd", example={"x": draw(ROWS, TIME, WIDTH)})
