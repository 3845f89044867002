"""The contract of DESIGN section 3 on every layer: time, shapes, metadata. Each check has a planted bug."""

import contextlib
import inspect

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import dsptorch
from dsptorch import Layer
from dsptorch.testing import assert_causal, assert_shift_covariant
from dsptorch.testing.contract import CONTRACT, NotApplicable, subject_of
from tests.layers.broken import broken
from tests.layers.table import CAUSAL, CENTRED, LAYERS, build, signal
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


# All of the public contract that is quick; compiling and exporting is in test_graphs.py


@each
@pytest.mark.parametrize("promise", [p for p in CONTRACT if p not in ("compiles", "exports")])
def test_keeps(name, promise):
    it = subject_of(build(name), None, lambda: build(name, scatter=False), "aot_eager")
    with contextlib.suppress(NotApplicable):  # that is tested in tests/testing/test_layer.py
        CONTRACT[promise](it)


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


def check_period(layer, period=None):
    """Once the silence before the start, to which a bias is added too, is forgotten."""
    field = layer.receptive_field
    assert_shift_covariant(layer, signal(1, field + 12), period or layer.period, settle=field - 1)


@each
def test_its_period_is_true(name):
    layer = build(name)
    if layer.period is None:
        assert any(isinstance(part, dsptorch.LFORouting) for part in layer.modules())
        with pytest.raises(AssertionError):
            check_period(layer, 7)
    else:
        check_period(layer)


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
