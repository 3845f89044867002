"""Layers go into a model that knows nothing of them."""

import copy
import inspect

import pytest
import torch
from torch import nn

from dsptorch import FIR, ChannelBottleneck, LFORouting, Multirate, insert
from tests.surgery.models import WIDTH, Sublayer, check_unchanged, model, snapshot
from tests.tolerances import assert_same


def lag(_=None, taps=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return FIR(WIDTH, taps, init=torch.randn(taps, WIDTH, generator=generator))


def signal():
    return torch.randn(2, 9, WIDTH, generator=torch.Generator().manual_seed(1))


# What it computes


def test_before_acts_on_the_input():
    m, x = model(), signal()
    block, f = copy.deepcopy(m.blocks[1]), lag()
    assert insert(m, "blocks.1", lambda _: f) == ["blocks.1.dsp_before"]
    assert_same(m.blocks[1](x), block(f(x)))
    assert not torch.equal(m.blocks[1](x), block(x))


def test_after_acts_on_the_output():
    m, x = model(), signal()
    block, f = copy.deepcopy(m.blocks[1]), lag()
    assert insert(m, "blocks.1", lambda _: f, position="after") == ["blocks.1.dsp_after"]
    assert_same(m.blocks[1](x), f(block(x)))
    assert not torch.equal(m.blocks[1](x), block(f(x)))


@pytest.mark.parametrize("position", ["before", "after"])
def test_a_place_that_is_taken_is_refused(position):
    m = model()
    insert(m, "blocks.1", lag, position=position)
    before = snapshot(m)
    with pytest.raises(
        ValueError, match=rf"a layer {position} it already, blocks.1.dsp_{position}.*Chain of both"
    ):
        insert(m, "blocks.*", lag, position=position)
    check_unchanged(m, before)
    insert(m, "blocks.1", lag, position="after" if position == "before" else "before")


class Nonlinear(nn.Module):
    def forward(self, x):
        return x * x


def test_build_gets_each_submodule_found():
    m, seen = model(), []

    def build(linear):
        seen.append(linear)
        return FIR(linear.in_features)

    names = insert(m, "blocks.*.attn.mix", build)
    assert seen == [block.attn.mix for block in m.blocks]
    assert names == [f"blocks.{i}.attn.mix.dsp_before" for i in range(3)]
    assert [m.get_submodule(name) for name in names] == [block.attn.mix.dsp_before for block in m.blocks]


def test_by_type_and_by_predicate():
    assert len(insert(model(), Sublayer, lag)) == 6
    assert insert(model(), lambda name, module: name == "head", lag) == ["head.dsp_before"]


def test_signatures_stay():
    m = model()
    before = inspect.signature(m.blocks[1].mlp.forward)
    insert(m, "blocks.1.mlp", lag)
    assert inspect.signature(m.blocks[1].mlp.forward) == before


def test_keyword_calls():
    """Block calls its mlp by keyword alone."""
    m, x = model(), signal()
    mlp, f = copy.deepcopy(m.blocks[1].mlp), lag()
    insert(m, "blocks.1.mlp", lambda _: f)
    assert_same(m.blocks[1].mlp(x=x, scale=0.25), mlp(f(x), 0.25))
    assert_same(m.blocks[1].mlp(x, scale=0.25), mlp(f(x), 0.25))
    assert_same(m.blocks[1].mlp(x, 0.25), mlp(f(x), 0.25))
    with pytest.raises(TypeError, match=r"dsp_before.*Sublayer.*called with"):
        m.blocks[1].mlp()


def test_keyword_calls_in_another_order():
    """The signal is the first parameter of forward, in whatever order the keywords come."""
    m, x = model(), signal()
    mlp, f = copy.deepcopy(m.blocks[1].mlp), lag()
    insert(m, "blocks.1.mlp", lambda _: f)
    assert_same(m.blocks[1].mlp(scale=0.25, x=x), mlp(f(x), 0.25))


def test_hooks_of_the_model_stay_in_their_place():
    m, x = model(), signal()
    block, f = copy.deepcopy(m.blocks[0]), lag()  # it has a hook that adds 1
    insert(m, "blocks.0", lambda _: f, position="after")
    assert_same(
        m.blocks[0](x), f(block.forward(x)) + 1
    )  # the layer is a part of the module, inside its hooks


@pytest.mark.parametrize("mode", [True, False])
def test_takes_the_mode_of_its_place(mode):
    m = model().train(mode)
    insert(m, "head", lambda _: nn.Dropout(0.5).train(not mode))
    assert m.head.dsp_before.training is mode


# Identity


BUILDS = {
    "FIR": lambda _: FIR(WIDTH, 3, init="lowpass"),
    "Multirate": lambda _: Multirate(WIDTH),
    "LFORouting": lambda _: LFORouting(WIDTH),
    "ChannelBottleneck": lambda _: ChannelBottleneck(WIDTH),
}


def check_identity(build, position, identity=True):
    m, x = model(), signal()
    expected = m(x)
    names = insert(m, "blocks.*", build, position=position, identity=identity)
    y = m(x)
    assert_same(y, expected)
    y.square().sum().backward()
    for name in names:
        gain = m.get_submodule(name).gain
        assert gain.item() == 0
        assert gain.grad.abs().item() > 0
    with torch.no_grad():
        for name in names:
            m.get_submodule(name).gain.fill_(1)
    assert not torch.equal(m(x), expected)


@pytest.mark.parametrize("position", ["before", "after"])
@pytest.mark.parametrize("name", BUILDS)
def test_identity_changes_no_bit_and_can_learn(name, position):
    check_identity(BUILDS[name], position)


def test_what_is_no_identity_is_caught():
    with pytest.raises(AssertionError):
        check_identity(BUILDS["FIR"], "before", identity=False)


def test_identity_takes_the_dtype_of_the_layer():
    m = model().double()
    insert(m, "head", lambda _: FIR(WIDTH, dtype=torch.float64), identity=True)
    assert m.head.dsp_before.gain.dtype == torch.float64
    m(signal().double())


def test_identity_needs_a_layer():
    m = model()
    before = snapshot(m)
    with pytest.raises(
        TypeError, match=r"identity=True needs a dsptorch layer, got Nonlinear for head.*Pointwise"
    ):
        insert(m, "head", lambda _: Nonlinear(), identity=True)
    check_unchanged(m, before)


# Everything is checked before anything is changed


def failing_at(n):
    calls = []

    def build(_):
        calls.append(None)
        if len(calls) == n:
            raise RuntimeError("cannot build")
        return lag()

    return build


SHARED_LAYER = lag()


@pytest.mark.parametrize(
    ("where", "build", "kwargs", "kind", "message"),
    [
        ("blocks.*", failing_at(3), {}, RuntimeError, "cannot build"),
        ("nothing.*", lag, {}, ValueError, r"nothing in Model matches 'nothing\.\*'"),
        (7, lag, {}, TypeError, "glob on names"),
        ("head", lag, {"position": "inside"}, ValueError, "'before' or 'after', got 'inside'"),
        (
            "head",
            lambda _: None,
            {},
            TypeError,
            "build must return a module, got None of type NoneType for head",
        ),
        (
            "blocks.*",
            lambda _: SHARED_LAYER,
            {},
            ValueError,
            r"new module for each place, got for blocks\.1 one",
        ),
        (
            "blocks.*",
            lambda block: block.attn,
            {},
            ValueError,
            r"new module for each place, got for blocks\.0",
        ),
        ("blocks.*", nn.Sequential, {}, ValueError, r"blocks\.0"),
    ],
    ids=[
        "third build",
        "no match",
        "where",
        "position",
        "no module",
        "twice",
        "part",
        "around its own place",
    ],
)
def test_a_refusal_changes_nothing(where, build, kwargs, kind, message):
    m = model()
    before = snapshot(m)
    with pytest.raises(kind, match=message):
        insert(m, where, build, **kwargs)
    check_unchanged(m, before)


def test_a_shared_submodule_is_refused():
    m = model()
    m.tied = m.blocks[1].mlp
    before = snapshot(m)
    for where in ("blocks.*.mlp", "tied", Sublayer):
        with pytest.raises(ValueError, match="is used in 2 places"):
            insert(m, where, lag)
    check_unchanged(m, before)
    insert(m, "blocks.0.mlp", lag)


def test_the_check_sees_a_half_change():
    m = model()
    before = snapshot(m)
    m.blocks[0].extra = nn.Identity()
    with pytest.raises(AssertionError):
        check_unchanged(m, before)
    m = model()
    m.head.register_forward_hook(lambda *args: None)
    with pytest.raises(AssertionError):
        check_unchanged(m, before)
