"""Layers act along time, wherever the model has it."""

import copy

import pytest
import torch
from torch import nn

from dsptorch import Multirate, insert, segmented
from tests.surgery.models import WIDTH, draw, lag, small
from tests.tolerances import assert_close, assert_same

pytestmark = pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")


def inserted(layer, layout, place=None, position="before"):
    model = nn.Sequential(nn.Identity() if place is None else place)
    insert(model, "0", lambda _: layer, layout=layout, position=position)
    return model


def rows_of(x, layout):
    """(rows, time, channels)."""
    if layout == "tbd":
        return x.transpose(0, 1)
    return x.movedim(1, -1).flatten(0, -3) if layout == "bct" else x


SHAPES = [
    ("btd", (2, 7, WIDTH)),
    ("tbd", (7, 2, WIDTH)),
    ("bct", (2, WIDTH, 7)),
    ("bct", (2, WIDTH, 3, 7)),
    ("tbd", (7, 0, WIDTH)),
    ("bct", (0, WIDTH, 3, 7)),
]


def check_layout(model, layer, layout, shape):
    x = draw(*shape)
    y = model(x)
    assert y.shape == x.shape
    assert y.is_contiguous()
    if x.numel():
        assert_same(rows_of(y, layout), torch.cat([layer(row[None]) for row in rows_of(x, layout)]))


@pytest.mark.parametrize("position", ["before", "after"])
@pytest.mark.parametrize(("layout", "shape"), SHAPES)
def test_acts_on_each_row_along_time(layout, shape, position):
    layer = Multirate(WIDTH)
    check_layout(inserted(layer, layout, position=position), layer, layout, shape)


@pytest.mark.parametrize(
    ("layout", "shape"), [("tbd", (4, 4, WIDTH)), ("bct", (2, WIDTH, 4)), ("bct", (2, WIDTH, 3, 4))]
)
def test_another_layout_is_caught(layout, shape):
    layer = Multirate(WIDTH)
    always = small(
        lambda self, x: layer(x.flatten(0, -3)).view(x.shape)
    )  # for it all is (batch, time, channels)
    with pytest.raises(AssertionError):
        check_layout(always, layer, layout, shape)


@pytest.mark.parametrize(
    ("layout", "shape", "view", "channels"),
    [
        ("btd", (2, 7, WIDTH), (2, 7, WIDTH), 2),
        ("tbd", (7, 2, WIDTH), (2, 7, WIDTH), 2),
        ("bct", (2, WIDTH, 7), (2, 7, WIDTH), 1),
        ("bct", (2, WIDTH, 3, 7), (6, 7, WIDTH), 1),
    ],
)
def test_a_plain_module_gets_the_same_view(layout, shape, view, channels):
    seen = []
    wider = small(lambda self, x: seen.append(tuple(x.shape)) or torch.cat([x, x], -1))
    assert inserted(wider, layout)(draw(*shape)).shape[channels] == 2 * WIDTH
    assert seen == [view]


def test_memory_stays_in_the_order_it_has():
    image = draw(2, WIDTH, 3, 7)
    model = inserted(Multirate(WIDTH), "bct")
    assert model(image).stride() == image.stride()
    pixels = image.to(memory_format=torch.channels_last)
    assert model(pixels).is_contiguous(memory_format=torch.channels_last)
    assert_same(model(pixels), model(image))


@pytest.mark.parametrize(("layout", "shape"), SHAPES[1:4])
def test_segment_ids_go_along(layout, shape):
    ids = torch.tensor([[0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 0, -1, -1]])
    time = 0 if layout == "tbd" else -1
    model, x = inserted(Multirate(WIDTH), layout), draw(*shape)
    with segmented(ids):
        y = model(x)
    for row, start, stop in ((0, 0, 3), (0, 3, 7), (1, 0, 5)):
        part, alone = (
            t.narrow(1 if layout == "tbd" else 0, row, 1).narrow(time, start, stop - start) for t in (y, x)
        )
        assert_close(part, model(alone))


@pytest.mark.parametrize(
    ("x", "layout", "kind", "message"),
    [
        (
            torch.ones(2, 7, dtype=int),
            None,
            TypeError,
            "acts on a signal, got torch.int64.*after the embedding",
        ),
        ((draw(2, 7, WIDTH),), None, TypeError, "dsp_before acts on a tensor, got a tuple"),
        (
            nn.utils.rnn.pack_sequence([draw(7, WIDTH)]),
            None,
            TypeError,
            "got a PackedSequence; give the model a padded batch.*dsptorch.segmented",
        ),
        (draw(2, WIDTH, 7), None, ValueError, r"takes 4 channels.*got shape \(2, 4, 7\).*layout='bct'"),
        (draw(2, 7, 5), None, ValueError, r"dsp_before takes 4 channels.*\(2, 7, 5\).*a layer of width 5"),
        (draw(WIDTH, 7), "bct", ValueError, r"needs \(batch, channels, ..., time\), got shape \(4, 7\)"),
    ],
    ids=["ids", "tuple", "packed", "channels", "width", "dimensions"],
)
def test_what_is_no_signal_is_refused(x, layout, kind, message):
    with pytest.raises(kind, match=message):
        inserted(lag(), layout)(x)


# Rows of different lengths


@pytest.mark.parametrize("position", ["before", "after"])
@pytest.mark.parametrize("kind", [torch.strided, torch.jagged])
@pytest.mark.parametrize(
    "build", [lambda: Multirate(WIDTH, causal=False), lambda: nn.RNN(WIDTH, WIDTH, batch_first=True)]
)
def test_each_row_of_a_nested_tensor_is_alone(build, kind, position):
    layer = build()
    if isinstance(layer, nn.RNN):
        layer = small(lambda self, x: self.inner(x)[0], inner=layer)
    model = inserted(layer, None, nn.Linear(WIDTH, WIDTH), position)
    rows = [draw(length, WIDTH).requires_grad_() for length in (5, 3, 1)]
    x = torch.nested.as_nested_tensor(rows, layout=kind)
    y = model(x)
    assert y.layout == kind
    assert [row.shape for row in y.unbind()] == [row.shape for row in rows]
    for row, alone in zip(y.unbind(), rows, strict=True):
        assert_close(row, model(alone[None])[0])
    if kind is torch.jagged:
        y + x  # of one shape, as a residual needs
    sum(row.square().sum() for row in y.unbind()).backward()
    assert all(row.grad.abs().sum() > 0 for row in rows)


def test_a_jagged_tensor_of_channels_and_time():
    layer = Multirate(WIDTH)
    rows = [draw(length, WIDTH) for length in (5, 3)]
    x = torch.nested.as_nested_tensor(rows, layout=torch.jagged)
    y = inserted(layer, "bct")(x.transpose(1, 2))
    for row, alone in zip(y.unbind(), rows, strict=True):
        assert_close(row.T, layer(alone[None])[0])


def test_a_nested_tensor_with_holes_is_refused():
    lengths = torch.tensor([3, 4])
    x = torch.nested.narrow(draw(2, 6, WIDTH), 1, torch.tensor([0, 2]), lengths, layout=torch.jagged)
    model = inserted(lag(), None)
    with pytest.raises(ValueError, match=r"must be contiguous.*call contiguous\(\)"):
        model(x)
    model(x.contiguous())


def test_documents_in_a_nested_tensor_stay_apart():
    layer = lag()
    rows = [draw(5, WIDTH), draw(3, WIDTH)]
    x = torch.nested.as_nested_tensor(rows, layout=torch.jagged)
    with segmented(torch.tensor([[0, 0, 1, 1, 1], [0, 0, 0, -1, -1]])):
        y = inserted(layer, None)(x)
    expected = torch.cat([layer(rows[0][None, :2]), layer(rows[0][None, 2:])], 1)[0]
    assert_close(y.unbind()[0], expected)
    assert_close(y.unbind()[1], layer(rows[1][None])[0])


@pytest.mark.parametrize("position", ["before", "after"])
def test_an_error_names_the_layer_by_its_place_in_the_model(position):
    model = nn.Sequential(nn.Identity(), nn.Sequential(nn.Identity()))
    insert(model, "1.0", lag, position=position)
    for each in (model, copy.deepcopy(model)):
        with pytest.raises(ValueError, match=f"^1.0.dsp_{position} takes 4 channels in the last dimension"):
            each(draw(2, 7, 5))
