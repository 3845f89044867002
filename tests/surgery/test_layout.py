"""Layers act along time, wherever the model has it."""

import pytest
import torch
from torch import nn

from dsptorch import FIR, Multirate, insert, segmented
from tests.tolerances import assert_close, assert_same

WIDTH = 4


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def lag():
    return FIR(WIDTH, 3, init="delays")


def inserted(layer, layout, place=None, position="before"):
    model = nn.Sequential(nn.Identity() if place is None else place)
    insert(model, "0", lambda _: layer, layout=layout, position=position)
    return model


# Each view, against the layer on one row after another


def by_hand(layer, x, layout):
    """Row by row."""
    if layout == "tbd":
        return torch.stack([layer(x[:, row][None])[0] for row in range(x.shape[1])], 1)
    if layout == "bct" and x.dim() == 4:
        return torch.stack([by_hand(layer, x[:, :, row], layout) for row in range(x.shape[2])], 2)
    if layout == "bct":
        return torch.stack([layer(row.T[None])[0].T for row in x])
    return torch.stack([layer(row[None])[0] for row in x])


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
        assert_same(y, by_hand(layer, x, layout))


@pytest.mark.parametrize("position", ["before", "after"])
@pytest.mark.parametrize(("layout", "shape"), SHAPES)
def test_acts_on_each_row_along_time(layout, shape, position):
    layer = Multirate(WIDTH)
    check_layout(inserted(layer, layout, position=position), layer, layout, shape)


@pytest.mark.parametrize(
    ("layout", "shape"), [("tbd", (4, 4, WIDTH)), ("bct", (2, WIDTH, 4)), ("bct", (2, WIDTH, 3, 4))]
)
def test_another_layout_is_caught(layout, shape):
    class Always(nn.Module):
        """Takes every signal for (batch, time, channels)."""

        def __init__(self, layer):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            return self.layer(x.flatten(0, -3)).view(x.shape)

    layer = Multirate(WIDTH)
    with pytest.raises(AssertionError):
        check_layout(Always(layer), layer, layout, shape)


def test_a_plain_module_gets_the_same_view():
    seen = []

    class Wider(nn.Module):
        def forward(self, x):
            seen.append(tuple(x.shape))
            return torch.cat([x, x], -1)

    for layout, shape in SHAPES[:4]:
        place = nn.Identity()
        y = inserted(Wider(), layout, place)(draw(*shape))
        assert y.shape[{"btd": 2, "tbd": 2, "bct": 1}[layout]] == 2 * WIDTH
    assert seen == [(2, 7, WIDTH), (2, 7, WIDTH), (2, 7, WIDTH), (6, 7, WIDTH)]


def test_memory_stays_in_the_order_it_has():
    image = draw(2, WIDTH, 3, 7)
    model = inserted(Multirate(WIDTH), "bct")
    assert model(image).stride() == image.stride()
    pixels = image.to(memory_format=torch.channels_last)
    assert model(pixels).is_contiguous(memory_format=torch.channels_last)
    assert_same(model(pixels), model(image))


def test_segment_ids_go_along():
    ids = torch.tensor([[0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 0, -1, -1]])
    layer = lag()
    for layout, shape in SHAPES[1:4]:
        x = draw(*shape)
        rows = {"tbd": lambda x: x.transpose(0, 1), "bct": lambda x: x.movedim(1, -1)}[layout]
        with segmented(ids):
            y = rows(inserted(layer, layout)(x))
        x = rows(x)
        expected = [
            (
                layer(x[i, None, ..., part, :].flatten(0, -3)).view(x[i, ..., part, :].shape),
                y[i, ..., part, :],
            )
            for i, part in ((0, slice(0, 3)), (0, slice(3, 7)), (1, slice(0, 5)))
        ]
        for one, other in expected:
            assert_close(other, one)


def test_what_is_no_signal_is_refused():
    model = inserted(lag(), None)
    with pytest.raises(TypeError, match=r"dsp_before acts on a signal, got torch.int64.*after the embedding"):
        model(torch.ones(2, 7, dtype=torch.int64))
    with pytest.raises(TypeError, match=r"dsp_before acts on a tensor, got a tuple"):
        model((draw(2, 7, WIDTH),))
    packed = nn.utils.rnn.pack_padded_sequence(draw(2, 7, WIDTH), torch.tensor([7, 5]), batch_first=True)
    with pytest.raises(
        TypeError, match=r"got a PackedSequence; give the model a padded batch.*dsptorch.segmented"
    ):
        model(packed)
    with pytest.raises(ValueError, match=r"takes 4 channels.*got shape \(2, 4, 7\).*layout='bct'"):
        model(draw(2, WIDTH, 7))
    with pytest.raises(ValueError, match=r"needs \(batch, channels, ..., time\), got shape \(4, 7\)"):
        inserted(lag(), "bct")(draw(WIDTH, 7))


# Rows of different lengths


@pytest.mark.parametrize("position", ["before", "after"])
@pytest.mark.parametrize("kind", [torch.strided, torch.jagged])
@pytest.mark.parametrize(
    "build", [lambda: Multirate(WIDTH, causal=False), lambda: nn.RNN(WIDTH, WIDTH, batch_first=True)]
)
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_each_row_of_a_nested_tensor_is_alone(build, kind, position):
    class First(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = build()

        def forward(self, x):
            return self.inner(x)[0]

    layer = build()
    layer = First() if isinstance(layer, nn.RNN) else layer
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
