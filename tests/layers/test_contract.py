"""The contract of DESIGN section 3 on every layer: time, chunks, metadata. Each check has a planted bug."""

import inspect
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import dsptorch
from dsptorch import Layer
from dsptorch.testing import assert_causal
from tests.layers.table import CAUSAL, CENTRED, LAYERS, WIDTH, build, signal
from tests.strategies import chunkings
from tests.tolerances import assert_close, assert_same

each = pytest.mark.parametrize("name", LAYERS)
each_causal = pytest.mark.parametrize("name", CAUSAL)
each_centred = pytest.mark.parametrize("name", CENTRED)


def test_the_table_is_complete():
    public = {
        c
        for c in vars(dsptorch).values()
        if inspect.isclass(c) and issubclass(c, Layer) and not inspect.isabstract(c)
    }
    assert public == {type(build(name)) for name in LAYERS}
    assert all(build(name).lookahead == 0 for name in CAUSAL)
    assert all(build(name).lookahead > 0 for name in CENTRED)


# Planted bugs: a layer that does what it must not, and says what is not so.


class Broken(Layer):
    """Filters by `taps`, or does as `forward_of` does; declares what it is told to."""

    lookahead = 0
    period = 1
    receptive_field = 3

    def __init__(self, forward_of=None, **declared):
        super().__init__(WIDTH)
        self.weight = nn.Parameter(torch.rand(3, dtype=torch.float64))
        self.forward_of = forward_of
        for name, value in declared.items():
            setattr(type(self), name, value)

    def process(self, x, state):
        y = (
            self.forward_of(x)
            if self.forward_of
            else sum(w * F.pad(x, (0, 0, k, 0))[:, : x.shape[1]] for k, w in enumerate(self.weight))
        )
        return y, dsptorch.layers.PositionState.after(x, state)


def broken(forward_of=None, **declared):
    return type("Broken", (Broken,), {})(forward_of, **declared)


# Time


@each_causal
def test_is_causal_at_every_cut(name):
    layer = build(name)
    assert_causal(layer, signal(1, 2 * (layer.period or 1) + layer.receptive_field))


def test_a_leak_is_caught():
    for leak in (
        lambda x: x.roll(-1, 1),
        lambda x: x - x.mean(1, keepdim=True),
        lambda x: x + 1e-4 * x.roll(-1, 1),
    ):
        with pytest.raises(AssertionError, match="not causal"):
            assert_causal(broken(leak), signal(1, 12))


@each
def test_sees_no_further_ahead_than_it_says(name):
    check_lookahead(build(name))


def check_lookahead(layer):
    """Late by its lookahead a layer is causal; by one less it is not."""

    def late(by):
        return lambda x: F.pad(layer(F.pad(x, (0, 0, 0, by))), (0, 0, by, 0))[:, : x.shape[1]]

    x = signal(1, 2 * (layer.period or 1) + 2 * layer.receptive_field)
    assert_causal(late(layer.lookahead), x)
    if layer.lookahead and not isinstance(layer, dsptorch.Chain | dsptorch.Parallel):
        with pytest.raises(AssertionError):
            assert_causal(late(layer.lookahead - 1), x)


def test_a_lookahead_that_is_too_small_is_caught():
    with pytest.raises(AssertionError):
        check_lookahead(broken(lambda x: F.pad(x, (0, 0, 0, 2))[:, 2:], lookahead=1))
    check_lookahead(broken(lambda x: F.pad(x, (0, 0, 0, 2))[:, 2:], lookahead=2))


def check_length_invariance(layer):
    x = signal()
    for n in range(x.shape[1]):
        assert_same(layer(x[:, :n]), layer(x)[:, :n])


@each_causal
def test_does_not_know_the_length(name):
    layer = build(name)
    if any(
        isinstance(part, nn.Linear | dsptorch.LFORouting) for part in layer.modules()
    ):  # a GEMM sums by its shape
        x = signal()
        for n in range(x.shape[1]):
            assert_close(layer(x[:, :n]), layer(x)[:, :n])
    else:
        check_length_invariance(layer)


def test_knowing_the_length_is_caught():
    with pytest.raises(AssertionError):
        check_length_invariance(broken(lambda x: x / max(1, x.shape[1])))


def check_period(layer, shift=None):
    x = signal(1, layer.receptive_field + 12)
    shift = layer.period if shift is None else shift
    assert_close(layer(F.pad(x, (0, 0, shift, 0)))[:, shift + _warm(layer) :], layer(x)[:, _warm(layer) :])


def _warm(layer):
    """A bias is also added to the silence before the start: compare once that is forgotten."""
    return layer.receptive_field - 1


@each
def test_its_period_is_true(name):
    layer = build(name)
    if layer.period is None:
        assert any(isinstance(part, dsptorch.LFORouting) for part in layer.modules())
        with pytest.raises(AssertionError):
            check_period(layer, 7)
    else:
        check_period(layer)
        check_period(layer, 2 * layer.period)


@pytest.mark.parametrize("name", [name for name in LAYERS if "Multirate" in name])
def test_another_shift_is_none_of_its_periods(name):
    assert build(name).period > 1
    with pytest.raises(AssertionError):
        check_period(build(name), 1)


def check_receptive_field(layer, attained=True):
    """Nothing older than the receptive field matters, and what is just as old as it does."""
    period, field = layer.period or 5, layer.receptive_field
    x = signal(1, field + 2 * period)
    oldest = set()
    first = field - 1 - layer.lookahead + period
    for t in range(first, first + period):
        used = torch.autograd.functional.jacobian(lambda x, t=t: layer(x)[0, t].sum(), x)[0].abs().sum(-1)
        start = t + layer.lookahead + 1 - field
        assert not used[: max(0, start)].any()
        assert not used[t + layer.lookahead + 1 :].any()
        oldest.add(bool(used[start]))
    assert any(oldest) or not attained


@each
def test_its_receptive_field_is_true(name):
    layer = build(name)
    check_receptive_field(layer, attained=not isinstance(layer, dsptorch.Chain | dsptorch.Parallel))


def test_a_wrong_receptive_field_is_caught():
    check_receptive_field(broken())
    for field in (2, 4):
        with pytest.raises(AssertionError):
            check_receptive_field(broken(receptive_field=field))


# Chunks


def run(layer, chunks, state=None):
    outputs = []
    for chunk in chunks:
        y, state = layer.step(chunk, state)
        outputs.append(y)
    return torch.cat(outputs, 1), state


def leaves(state):
    return torch.utils._pytree.tree_leaves(state)


def check_stream(layer, seed=0):
    """Values, gradients and final state over random chunks, empty ones among them, and one by one."""
    x = signal().requires_grad_()
    generator = torch.Generator().manual_seed(seed)
    whole = layer(x)
    v = signal(seed=9)
    parameters = [x, *layer.parameters()]
    expected = torch.autograd.grad((whole * v).sum(), parameters, allow_unused=True, materialize_grads=True)
    _, final = layer.step(x)
    for lengths in (
        chunkings(x.shape[1], generator),
        chunkings(x.shape[1], generator),
        [1] * x.shape[1],
        [0, 19, 0],
    ):
        y, state = run(layer, x.split(lengths, 1))
        assert_close(y, whole)
        for a, b in zip(leaves(state), leaves(final), strict=True):
            assert_close(a, b)
        grads = torch.autograd.grad((y * v).sum(), parameters, allow_unused=True, materialize_grads=True)
        for a, b in zip(grads, expected, strict=True):
            assert_close(a, b)


@each_causal
def test_streams_as_it_runs(name):
    check_stream(build(name))


def test_a_layer_without_a_memory_is_caught():
    with pytest.raises(AssertionError):
        check_stream(broken())


@each_causal
def test_state_is_tensors_with_a_row_for_each_row(name):
    layer = build(name)
    _, state = layer.step(signal(3, 5))
    assert isinstance(state, tuple)
    assert hasattr(state, "_fields")
    assert state.position.dtype == torch.int64
    assert torch.equal(state.position, torch.tensor([5, 5, 5]))
    for leaf in leaves(state):
        assert isinstance(leaf, torch.Tensor)
        assert leaf.shape[0] == 3


def check_ragged(layer):
    """Rows that stand at different positions, each as if it were alone."""
    x, y = signal(3, 9), []
    states = [layer.step(x[i : i + 1, : 2 * i + i % 2])[1] for i in range(3)]
    state = torch.utils._pytree.tree_map(lambda *parts: torch.cat(parts), *states)
    kept = [leaf.clone() for leaf in leaves(state)]
    more = signal(3, 7, seed=5)
    y, _ = layer.step(more, state)
    for i in range(3):
        seen = x[i : i + 1, : 2 * i + i % 2]
        assert_close(y[i : i + 1], layer(torch.cat([seen, more[i : i + 1]], 1))[:, seen.shape[1] :])
    for leaf, before in zip(leaves(state), kept, strict=True):
        assert_same(leaf, before)


@each_causal
def test_rows_at_different_positions(name):
    check_ragged(build(name))


def test_positions_taken_from_the_first_row_are_caught():
    layer = build("LFORouting")
    process = type(layer).process

    class OneClock(dsptorch.LFORouting):
        def process(self, x, state):
            if state is not None:
                state = state._replace(position=state.position[:1].expand_as(state.position))
            return process(self, x, state)

    check_ragged(layer)
    layer.__class__ = OneClock
    with pytest.raises(AssertionError):
        check_ragged(layer)


def check_pure(layer):
    x = signal()
    given = x.clone()
    y, state = layer.step(x)
    kept = [leaf.clone() for leaf in leaves(state)]
    first, _ = layer.step(x, state)
    again, _ = layer.step(x, state)
    assert_same(first, again)
    assert_same(x, given)
    for leaf, before in zip(leaves(state), kept, strict=True):
        assert_same(leaf, before)
    y.detach().zero_()
    assert_same(x, given)


@each_causal
def test_step_changes_neither_chunk_nor_state(name):
    check_pure(build(name))


def test_an_output_that_is_the_input_is_caught():
    with pytest.raises(AssertionError):
        check_pure(broken(lambda x: x))
    with pytest.raises(AssertionError):
        check_pure(broken(lambda x: x.add_(1)))


@each_centred
def test_refuses_to_stream_when_it_looks_ahead(name):
    layer = build(name)
    with pytest.raises(
        ValueError, match=rf"{type(layer).__name__} looks ahead by {layer.lookahead} samples.*causal=True"
    ):
        layer.step(signal())


@each_causal
def test_refuses_the_state_of_another_batch(name):
    layer = build(name)
    for batch in (1, 3):
        _, state = layer.step(signal(batch))
        with pytest.raises(ValueError, match=rf"chunk of 2 rows and a state of \({batch},\)"):
            layer.step(signal(2), state)


# Shapes


@each
@pytest.mark.parametrize("time", [0, 1, 2, 3, 5, 8])
@pytest.mark.parametrize("batch", [0, 2])
def test_any_length_and_batch(name, time, batch):
    layer = build(name)
    x = signal(batch, time).requires_grad_()
    y = layer(x)
    assert y.shape == x.shape
    assert y.dtype == x.dtype
    if layer.lookahead == 0:  # what a short signal gives is the start of what a long one does
        assert_close(y, layer(F.pad(x, (0, 0, 0, 30)))[:, :time])
        stepped, state = layer.step(x)
        assert_close(stepped, y)
        assert torch.equal(state.position, torch.full((batch,), time))
    if y.requires_grad:
        y.sum().backward()
        assert x.grad.isfinite().all()


@each
def test_layout_of_the_input_does_not_matter(name):
    layer = build(name)
    x = signal()
    transposed = x.transpose(1, 2).contiguous().transpose(1, 2)
    assert not transposed.is_contiguous()
    assert_close(layer(transposed), layer(x))
    assert_close(layer(x[:1].expand(3, -1, -1))[2], layer(x[:1])[0])


@each
@pytest.mark.parametrize(
    ("x", "kind", "message"),
    [
        (torch.zeros(5, WIDTH), ValueError, r"\(batch, time, channels\), got shape \(5, 4\)"),
        (torch.zeros(1, 2, 5, WIDTH), ValueError, r"\(batch, time, channels\), got shape \(1, 2, 5, 4\)"),
        (
            torch.zeros(1, 5, WIDTH + 1),
            ValueError,
            r"4 channels in the last dimension, got shape \(1, 5, 5\)",
        ),
        (torch.zeros(1, WIDTH, 7), ValueError, r"4 channels.*got shape \(1, 4, 7\); channels come last"),
        (torch.zeros(1, 5, WIDTH).long(), TypeError, r"floating-point input, got torch\.int64"),
        ([0.0], TypeError, r"expects a tensor.*got \[0\.0\]"),
    ],
    ids=["rank 2", "rank 4", "width", "transposed", "integers", "list"],
)
def test_refuses_what_is_no_signal(name, x, kind, message):
    layer = build(name)
    with pytest.raises(kind, match=type(layer).__name__ + ".*" + message):
        layer(x)
    with pytest.raises(kind, match=message):
        layer.step(x)


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: dsptorch.FIR(0), ValueError, r"d_model must be at least 1, got 0"),
        (lambda: dsptorch.FIR(4.0), TypeError, r"d_model must be an int, got 4\.0 of type float"),
        (lambda: dsptorch.FIR(4, 0), ValueError, r"kernel_size must be at least 1, got 0"),
        (lambda: dsptorch.FIR(4, delay=-1), ValueError, r"delay must be at least 0, got -1"),
        (lambda: dsptorch.FIR(4, init="highpass"), ValueError, r"identity, lowpass, delays.*got 'highpass'"),
        (lambda: dsptorch.FIR(4, 3, init=torch.ones(4, 3)), ValueError, r"\(3, 4\), got \(4, 3\)"),
        (lambda: dsptorch.FIR(4, 1, init=torch.full((1, 4), math.nan)), ValueError, r"finite.*NaN"),
        (lambda: dsptorch.FIR(4, init="delays", causal=False), ValueError, r"causal bank"),
        (lambda: dsptorch.FIR(4, init="lowpass", cutoff=1.5), ValueError, r"got.*1\.5"),
        (lambda: dsptorch.FIR(4, init="lowpass", cutoff=math.nan), ValueError, r"cutoff.*got nan"),
        (lambda: dsptorch.Delay(4, -1), ValueError, r"delay must be at least 0, got -1"),
        (lambda: dsptorch.Multirate(4, -2), ValueError, r"downsample must be at least 1, got -2"),
        (lambda: dsptorch.Multirate(4, 2.0), TypeError, r"downsample must be an int, got 2\.0"),
        (lambda: dsptorch.Multirate(4, levels=0), ValueError, r"levels must be at least 1, got 0"),
        (lambda: dsptorch.Multirate(4, mix_ratio=1.5), ValueError, r"mix_ratio.*\[0, 1\], got 1\.5"),
        (lambda: dsptorch.Multirate(4, mix_ratio=math.nan), ValueError, r"mix_ratio.*finite.*got nan"),
        (
            lambda: dsptorch.Multirate(4, detail_strength=math.inf),
            ValueError,
            r"detail_strength.*finite.*got inf",
        ),
        (
            lambda: dsptorch.Multirate(4, mix_ratio="0.5"),
            TypeError,
            r"mix_ratio.*BoundedHyperparam.*got '0\.5' of type str",
        ),
        (
            lambda: dsptorch.Multirate(4, mix_ratio=dsptorch.BoundedHyperparam(0.5, 0.0, 2.0)),
            ValueError,
            r"mix_ratio must stay in \[0, 1\], got bounds \[0, 2\]",
        ),
        (
            lambda: dsptorch.LFORouting(6, 4),
            ValueError,
            r"routes must divide d_model, got 4 routes for a width of 6",
        ),
        (lambda: dsptorch.LFORouting(4, 0), ValueError, r"routes must be at least 1, got 0"),
        (lambda: dsptorch.LFORouting(4, num_lfos=0), ValueError, r"num_lfos must be at least 1, got 0"),
        (lambda: dsptorch.LFORouting(4, max_freq=0.6), ValueError, r"max_freq.*\(0, 0\.5\].*got 0\.6"),
        (lambda: dsptorch.LFORouting(4, gate_temperature=0.0), ValueError, r"gate_temperature.*got 0\.0"),
        (lambda: dsptorch.LFORouting(4, residual_mix=-0.1), ValueError, r"residual_mix.*\[0, 1\], got -0\.1"),
        (
            lambda: dsptorch.ChannelBottleneck(4, bottleneck_ratio=2.0),
            ValueError,
            r"bottleneck_ratio.*1\], got 2\.0",
        ),
        (
            lambda: dsptorch.ChannelBottleneck(4, bottleneck_ratio=0.0),
            ValueError,
            r"bottleneck_ratio.*got 0\.0",
        ),
        (dsptorch.Chain, ValueError, r"Chain needs at least one layer"),
        (dsptorch.Parallel, ValueError, r"Parallel needs at least one layer"),
        (
            lambda: dsptorch.Chain(nn.Linear(4, 4)),
            TypeError,
            r"Chain takes dsptorch layers, got Linear.*Pointwise",
        ),
        (lambda: dsptorch.Parallel(nn.GELU()), TypeError, r"Parallel takes dsptorch layers, got GELU"),
        (lambda: dsptorch.Residual(nn.GELU()), TypeError, r"Residual takes dsptorch layers, got GELU"),
        (lambda: dsptorch.Blend(nn.GELU()), TypeError, r"Blend takes a dsptorch layer, got GELU"),
        (
            lambda: dsptorch.Chain(dsptorch.FIR(4), dsptorch.FIR(5)),
            ValueError,
            r"one width, got d_model \[4, 5\]",
        ),
        (
            lambda: dsptorch.Blend(dsptorch.FIR(4, delay=1)),
            ValueError,
            r"without delay, got delay=1.*Residual",
        ),
        (lambda: dsptorch.Pointwise(torch.relu, 4), TypeError, r"nn\.Module, got builtin"),
        (
            lambda: dsptorch.Pointwise(nn.Linear(4, 5), 4)(signal().float()),
            ValueError,
            r"keeps the shape.*\(2, 19, 5\)",
        ),
    ],
)
def test_refuses_to_be_built(make, kind, message):
    with pytest.raises(kind, match=message):
        make()
