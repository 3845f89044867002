"""A model with layers of ours runs chunk by chunk."""

import copy

import pytest
import torch
from torch import nn

from dsptorch import FIR, Chain, LFORouting, Multirate, Pointwise, Residual, insert, streaming
from dsptorch.testing._engine.chunks import random_chunks
from tests.layers.table import CAUSAL, WIDTH, signal
from tests.surgery.models import Sublayer, check_unchanged, small, snapshot
from tests.tolerances import assert_close


class Model(nn.Module):
    """Two layers inserted, two built in, one of them nested."""

    def __init__(self):
        super().__init__()
        self.first = Sublayer()
        self.body = nn.Sequential(Residual(Chain(FIR(WIDTH, 3, init="delays"), Multirate(WIDTH))), Sublayer())
        self.last = LFORouting(WIDTH)

    def forward(self, x):
        return self.last(self.body(self.first(x)))


def model():
    torch.manual_seed(0)
    m = Model()
    insert(m, "first", lambda _: Multirate(WIDTH, 3))
    insert(m, "body.1", lambda _: FIR(WIDTH, 4, init="lowpass"), position="after")
    return m.double()


def run(m, x, seed=0):
    lengths = random_chunks(x.shape[1], torch.Generator().manual_seed(seed))
    return torch.cat([m(chunk) for chunk in x.split(lengths, 1)], 1)


@pytest.mark.parametrize("seed", range(5))
def test_chunks_equal_the_whole(seed):
    m, x = model(), signal(time=31)
    parameters = [p for p in m.parameters() if p.requires_grad]
    with streaming(m):
        y = run(m, x, seed)
    assert_close(y, m(x))
    with pytest.raises(AssertionError):
        assert_close(run(m, x, seed), m(x))  # without the context each chunk starts anew
    ours, expected = (
        torch.autograd.grad(o.square().sum(), parameters, materialize_grads=True) for o in (y, m(x))
    )
    assert sum(grad.any() for grad in expected) > 5
    for a, b in zip(ours, expected, strict=True):
        assert_close(a, b)


@pytest.mark.parametrize("name", CAUSAL)
def test_a_layer_by_itself_is_a_model(name):
    layer, x = CAUSAL[name]().double(), signal()
    with streaming(layer):
        y = run(layer, x)
    assert_close(y, layer(x))


def test_reset_starts_a_new_signal():
    m, x = model(), signal()
    with streaming(m) as stream:
        first = m(x)
        assert not torch.allclose(m(x), first)
        stream.reset()
        assert_close(m(x), first)
        stream.reset()
        m(signal(batch=5))  # another batch size


def test_states_are_by_name_and_the_outermost_layers_keep_them():
    m = model()
    with streaming(m) as stream:
        assert stream.states == {}
        m(signal())
    assert set(stream.states) == {"first.dsp_before", "body.0", "body.1.dsp_after", "last"}
    assert all(torch.equal(state.position, torch.tensor([19, 19])) for state in stream.states.values())


def test_the_model_is_as_before():
    m, x = model(), signal()
    before = snapshot(m, x)
    with streaming(m):
        m(x)
        with pytest.raises(AssertionError):
            check_unchanged(m, before, x)
    check_unchanged(m, before, x)

    def interrupted():
        with streaming(m):
            m(x[..., :2].repeat(1, 1, 4))

    with pytest.raises(ValueError, match="channels"):
        interrupted()
    check_unchanged(m, before, x)


def test_two_models_stream_side_by_side():
    a, b, x = model(), model(), signal()
    with streaming(a), streaming(b):
        ya, yb = run(a, x, 1), run(b, x, 2)
    assert_close(ya, a(x))
    assert_close(yb, b(x))


def test_refuses_to_nest():
    m, x = model(), signal()
    with streaming(m):
        m(x[:, :4])
        with pytest.raises(ValueError, match=r"first\.dsp_before streams already"), streaming(m):
            pass
        with pytest.raises(ValueError, match="streams already"), streaming(m.last):
            pass
        y = m(x[:, 4:])  # the refusal did not end the outer stream
    assert_close(y, m(x)[:, 4:])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Sequential(FIR(WIDTH), FIR(WIDTH, 3, causal=False)), r"1 looks ahead by 1 samples"),
        (nn.Linear(2, 2), "Linear has no dsptorch layer to stream"),
    ],
)
def test_a_model_that_cannot_stream_is_refused(model, message):
    with pytest.raises(ValueError, match=message), streaming(model):
        pass
    assert not any("forward" in vars(module) for module in model.modules())


def twice():
    return small(lambda self, x: self.filter(self.filter(x)), filter=FIR(WIDTH, 3, init="lowpass"))


def shared():
    layer = FIR(WIDTH, 3, init="lowpass")
    return nn.Sequential(layer, nn.GELU(), layer)


@pytest.mark.parametrize("make", [twice, shared])
def test_a_layer_that_is_used_twice_is_refused_or_right(make):
    """One state cannot serve two signals: an error, never wrong numbers."""
    m, x = make(), signal(dtype=torch.float32)
    try:
        with streaming(m):
            y = run(m, x)
    except ValueError as error:
        assert "twice" in str(error) or "more than once" in str(error) or "places" in str(error)  # noqa: PT017
    else:
        assert_close(y, m(x))


def fused_step(m):
    m(signal(dtype=torch.float32)).square().sum().backward()
    torch.optim.Adam(m.parameters(), lr=0.1, fused=True).step()


def replace_weight(m):
    m[1].low = nn.Parameter(2 * m[1].low.detach())


def add_a_hook(m):
    m[2].module[0].register_forward_hook(lambda module, args, output: output + 1)


CHANGES = {
    "a fused optimizer": fused_step,
    "a write through .data": lambda m: m[1].low.data.mul_(2),
    "a copy through .data": lambda m: m[1].low.data.copy_(torch.ones_like(m[1].low)),
    "another parameter": replace_weight,
    "a number set as an attribute": lambda m: setattr(m[1], "mix_ratio", 0.9),
    "a loaded state": lambda m: m.load_state_dict({"1.low": 2 * m[1].low.detach()}, strict=False),
    "eval, where dropout ends": lambda m: m.eval(),
    "a module inside that is replaced": lambda m: setattr(m[2], "module", nn.Sequential(nn.Tanh())),
    "a hook on a module inside": add_a_hook,
}


def watched():
    torch.manual_seed(0)
    layers = FIR(WIDTH, 3, init="lowpass"), Multirate(WIDTH, mix_ratio=0.3)
    inside = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Dropout(0.5))
    return nn.Sequential(*layers, Pointwise(inside, WIDTH))


def check_change(change):
    """What was folded for the chunks before is not used after it."""
    m, x = watched(), signal(dtype=torch.float32)
    with streaming(m) as stream:
        with torch.no_grad():
            run(m, x)
            before = run(m, x)
        stream.reset()
        change(m)
        stream.reset()
        torch.manual_seed(1)
        with torch.no_grad():
            after = torch.cat([m(x[:, :7]), m(x[:, 7:])], 1)
    assert not torch.allclose(after, before)
    torch.manual_seed(1)
    first, second, last = copy.deepcopy(m)  # which remembers nothing
    with torch.no_grad():
        filtered = second(first(x))
        assert_close(after, torch.cat([last(filtered[:, :7]), last(filtered[:, 7:])], 1))


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_between_two_chunks_is_seen(name):
    check_change(CHANGES[name])


@pytest.mark.parametrize(
    "name", ["a fused optimizer", "a write through .data", "a number set as an attribute"]
)
def test_weights_that_are_folded_once_are_caught(name, monkeypatch):
    monkeypatch.setattr("dsptorch.functional.memo._equal", lambda *_: True)
    with pytest.raises(AssertionError):
        check_change(CHANGES[name])


def test_running_statistics_are_those_of_the_model():
    class Norm(nn.BatchNorm1d):
        def forward(self, x):
            return super().forward(x.transpose(1, 2)).transpose(1, 2)

    norm, x = Norm(WIDTH), signal(dtype=torch.float32)
    other, layer = copy.deepcopy(norm), Chain(FIR(WIDTH, 3), Pointwise(norm, WIDTH))
    with streaming(layer), torch.no_grad():
        for chunk in x.split(5, 1):
            layer(chunk)
    for chunk in x.split(5, 1):
        other(chunk)
    assert_close(norm.running_mean, other.running_mean)


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        (torch.tensor([2, 0]), [2, 0]),
        ([2, 0], [2, 0]),
        (torch.tensor([True, False, True]), [0, 2]),
        ([True, False, True], [0, 2]),
        ([], []),
    ],
)
def test_rows_are_indices_or_a_mask(rows, kept):
    layer, x = FIR(WIDTH, 3, init="lowpass"), signal(3, 8, torch.float32)
    for use in ("select", "reset"):
        with streaming(layer) as stream, torch.no_grad():
            layer(x)
            getattr(stream, use)(rows)
            position = stream.states[""].position.tolist()
        assert position == ([8] * len(kept) if use == "select" else [0 if i in kept else 8 for i in range(3)])


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        (torch.tensor([True]), ValueError),  # it reset the first row
        (True, ValueError),  # it reset none
        (torch.tensor([1.7]), TypeError),  # it reset row 1
        (torch.tensor([[0, 1]]), TypeError),
    ],
)
def test_other_rows_are_refused(rows, kind):
    layer = FIR(WIDTH, 3)
    for use in ("select", "reset"):
        with streaming(layer) as stream:
            layer(signal(3, 8, torch.float32))
            before = stream.states
            with pytest.raises(
                kind, match=r"rows must be .*\(3,\), got|mask of rows must be of shape \(3,\), got"
            ):
                getattr(stream, use)(rows)
            assert stream.states == before
