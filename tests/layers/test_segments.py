"""Padding and packing: signals that share a row. That each layer keeps them apart is in the contract."""

from math import ceil

import pytest
import torch

from dsptorch import FIR, LFORouting, PeriodicFIR
from tests.layers.table import ONE_OF_EACH_KIND, WIDTH, build, signal
from tests.tolerances import assert_close, assert_same

IDS = torch.tensor([[-1, -1, 0, 0, 0, 0, 0, 1, 1, 1, 1, -1], [3, 3, 3, 3, 3, 3, 3, 3, 3, -1, 3, 3]])


@pytest.mark.parametrize("name", ONE_OF_EACH_KIND)
def test_a_row_padded_on_the_left_equals_the_row_alone(name):
    layer, x = build(name), signal(2, 14)
    start = -(-5 // layer.grid) * layer.grid
    ids = torch.tensor([[-1] * start + [0] * (14 - start), [0] * 14])
    y, first = layer(x, ids), ceil(start * layer.rate)
    assert_close(y[0, first:], layer(x[:1, start:])[0])
    assert_close(y[1], layer(x[1:])[0])
    if (layer.rate, layer.d_out) == (1, WIDTH):
        assert_same(y[0, :start], x[0, :start])
    else:
        assert not y[0, :first].any()


@pytest.mark.parametrize("name", ONE_OF_EACH_KIND)
def test_steps_with_and_without_ids_alternate(name):
    """A step without ids goes on with the present signal; one whose id is that of the last chunk too."""
    layer = build(name)
    n = layer.grid
    x = signal(2, 18 * n)

    def ids(*rows):
        return torch.tensor(rows).repeat_interleave(n, 1)

    y1, state = layer.step(x[:, : 5 * n], None, ids([0, 0, 1, 1, 1], [2, 2, 2, 2, 2]))
    y2, state = layer.step(x[:, 5 * n : 9 * n - 1], state)
    y3, state = layer.step(x[:, :0], state, torch.zeros(2, 0, dtype=torch.int64))
    y4, state = layer.step(x[:, 9 * n - 1 :], state, ids([1] * 10, [2] + [0] * 9)[:, n - 1 :])
    whole = ids([0] * 2 + [1] * 16, [2] * 9 + [0] * 9)
    assert_close(torch.cat([y1, y2, y3, y4], 1), layer(x, whole))
    assert state.position.tolist() == [16 * n, 9 * n]


@pytest.mark.parametrize("make", [lambda: FIR(WIDTH, 5, init="lowpass"), lambda: LFORouting(WIDTH)])
def test_the_infinite_stays_in_its_signal(make):
    layer, x = make().double(), signal(2, 12)
    expected = layer(x, IDS)[0, 7:11]
    x[0, 3] = torch.inf
    assert_same(layer(x, IDS)[0, 7:11], expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["Multirate", "LFORouting", "Chain", "ChannelBottleneck"])
def test_half_precision(name, dtype):
    layer, x = build(name, dtype), signal(2, 12, dtype)
    y = layer(x, IDS)
    assert y.dtype == dtype
    assert_close(y[0, 2:7], layer(x[:1, 2:7])[0])


def check_compiles(name):
    torch._dynamo.reset()
    layer, x = build(name, torch.float32), signal(2, 12, torch.float32).requires_grad_()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    y = compiled(x, IDS)
    assert_close(y, layer(x, IDS))
    ours = torch.autograd.grad(y.square().sum(), [x, *layer.parameters()])
    expected = torch.autograd.grad(layer(x, IDS).square().sum(), [x, *layer.parameters()])
    for mine, its in zip(ours, expected, strict=True):
        assert_close(mine, its)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["FIR delays", "Chain"])
def test_compiles_to_one_graph(name):
    check_compiles(name)


def test_a_filter_by_itself():
    filter_, x = PeriodicFIR.hold(2) @ PeriodicFIR.fir(torch.ones(3) / 3), signal(2, 12, torch.float32)
    y, state = filter_.step(x[:, :6], None, IDS[:, :6])
    z, _ = filter_.step(x[:, 6:], state, IDS[:, 6:])
    y = torch.cat([y, z], 1)
    assert_close(y[0, 2:7], filter_(x[:1, 2:7])[0])
    assert_close(y[1, 10:], filter_(x[1:, 10:])[0])


@pytest.mark.parametrize(
    ("ids", "error", "says"),
    [
        (torch.zeros(2, 12), TypeError, r"integers, one a sample, got a torch.float32 .* mask.long\(\) - 1"),
        ([[0] * 12] * 2, TypeError, "must be a tensor of integers"),
        (torch.ones(2, 12, dtype=torch.bool), TypeError, r"got torch.bool; .* mask.long\(\) - 1"),
        (torch.zeros(12, dtype=torch.int64), ValueError, r"\(2, 12\), got \(12,\)"),
        (torch.zeros(2, 11, dtype=torch.int64), ValueError, r"\(2, 12\), got \(2, 11\)"),
    ],
)
def test_refuses(ids, error, says):
    layer, x = build("Multirate"), signal(2, 12)
    with pytest.raises(error, match=says):
        layer(x, ids)
    with pytest.raises(error, match=says):
        layer.step(x, None, ids)
