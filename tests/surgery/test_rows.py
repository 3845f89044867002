"""A probe proves that inserted layers leave each row of a batch to itself."""

import pytest
import torch
from torch import nn

from dsptorch import FIR, insert
from tests.surgery.models import WIDTH, Around, check_unchanged, draw, lag, model, small, snapshot

ROWS, TIME = 2, 6  # so that the rows divide the time
PROBE = draw(ROWS, TIME, WIDTH)
pytestmark = pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")


class TimeFirst(Around):
    """Takes (batch, time, channels), and works on (time, batch, channels), which nothing shows."""

    def __init__(self):
        super().__init__(nn.Linear(WIDTH, WIDTH))

    def forward(self, x):
        return self.inner(x.transpose(0, 1)).transpose(0, 1)


class OverRows(nn.Module):
    """A layer that mixes rows."""

    def forward(self, x):
        return x + x.mean(0)


def check_refused(m, where, message, build=lag, kind=ValueError, **options):
    before = snapshot(m)
    with pytest.raises(kind, match=message):
        insert(m, where, build, **options)
    check_unchanged(m, before)


@pytest.mark.parametrize("probe", [PROBE, {"x": PROBE}], ids=["tensor", "keywords"])
def test_a_filter_across_the_batch_is_caught(probe):
    message = r"inner.dsp_before would mix the rows.*\(6, 2, 4\).*'tbd' if time comes first"
    check_refused(TimeFirst(), "inner", message, example=probe)
    check_refused(TimeFirst(), "inner", "would mix", example=probe, identity=True)
    insert(TimeFirst(), "inner", lag)  # nobody notices
    insert(TimeFirst(), "inner", lag, layout="tbd", example=probe)


def test_rows_that_are_mixed_elsewhere_are_told_apart():
    message = r"with head.dsp_before an output of shape.*treat each row by itself"
    check_refused(model(), "head", message, lambda _: OverRows(), example=PROBE)
    mixing = nn.Sequential(OverRows(), nn.Linear(WIDTH, WIDTH))
    check_refused(mixing, "1", r"without any inserted layer.*the model mixes rows itself", example=PROBE)


def test_a_batch_that_is_elsewhere_is_named():
    m = nn.Sequential(nn.GRU(WIDTH, WIDTH))
    probe = draw(TIME, ROWS, WIDTH)
    message = r"batch is not in dimension 0 of the example, which batch_dim says"
    check_refused(m, "0", message, layout="tbd", example=probe)
    insert(m, "0", lag, layout="tbd", example=probe, batch_dim=1)


@pytest.mark.parametrize(
    ("probe", "kind", "message"),
    [
        ([PROBE], TypeError, "a tensor, a tuple of arguments or a dict of keywords, got list"),
        (PROBE[:1], ValueError, r"at least 2 rows in dimension 0 \(batch_dim\), got 1"),
        (PROBE[:1].expand(2, 6, WIDTH), ValueError, "a second row that differs from the first"),
        ((), ValueError, "at least 2 rows.*got 0"),
        (draw(2, 6, WIDTH + 1), ValueError, "dsp_before takes 4 channels"),  # from within the model
    ],
)
def test_a_probe_that_proves_nothing_is_refused(probe, kind, message):
    check_refused(model(), "blocks.*", message, kind=kind, example=probe)


@pytest.mark.parametrize("batch_dim", [-1, 1.0])
def test_a_wrong_batch_dim_is_refused(batch_dim):
    kinds = (TypeError, ValueError)
    check_refused(model(), "blocks.*", "batch_dim must be", kind=kinds, example=PROBE, batch_dim=batch_dim)


def test_a_place_that_the_probe_does_not_reach_is_named():
    m = model()
    m.spare = nn.Linear(WIDTH, WIDTH)
    check_refused(m, "spare", r"spare.dsp_before was not called on the example", example=PROBE)


def test_what_belongs_to_all_rows_may():
    """Positions, and a mask (time, time), are the same for all."""

    def forward(self, x, mask):
        return mask @ (x + self.table(torch.arange(TIME))[None])

    m = small(forward, table=nn.Embedding(TIME, WIDTH))
    insert(m, "table", lambda _: nn.Identity(), position="after", example=(PROBE, torch.eye(TIME)))


@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_a_probe_of_rows_that_differ_in_length(layout):
    probe = torch.nested.as_nested_tensor([draw(6, WIDTH), draw(3, WIDTH), draw(4, WIDTH)], layout=layout)
    m = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH))
    insert(m, "1", lag, example=probe)

    class Mean(FIR):
        def forward(self, x, segment_ids=None):
            return x + x.mean((0, 1))

    with pytest.raises(ValueError, match=r"with 0.dsp_after an output of shape"):
        insert(m, "0", lambda _: Mean(WIDTH), position="after", example=probe)


def test_a_probe_whose_first_row_is_the_longest():
    """With another first row its batch is shorter within PyTorch's fast path."""
    m = nn.TransformerEncoder(nn.TransformerEncoderLayer(WIDTH, 2, 8, batch_first=True), 2)
    padding = torch.tensor([[False] * 6, [False] * 3 + [True] * 3, [False] * 4 + [True] * 2])
    insert(m, "layers.*", lag, example={"src": draw(3, TIME, WIDTH), "src_key_padding_mask": padding})


def test_a_number_of_calls_that_depends_on_the_first_row():
    def forward(self, x):
        for _ in range(int(x[0, 0, 0].item())):
            self.inner(x)
        return x

    m, probe = small(forward, inner=nn.Linear(WIDTH, WIDTH)), torch.tensor([[[3.0] * WIDTH], [[1.0] * WIDTH]])
    with pytest.raises(ValueError, match="was called 3 times on the example and 1 with another first row"):
        insert(m, "inner", lag, example=probe)
