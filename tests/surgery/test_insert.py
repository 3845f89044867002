"""Layers go into a model that knows nothing of them."""

import copy

import pytest
import torch
from torch import nn

from dsptorch import FIR, insert
from tests.surgery.models import WIDTH, Sublayer, check_unchanged, draw, lag, model, snapshot
from tests.tolerances import assert_same

X = draw(2, 9, WIDTH)


@pytest.mark.parametrize("position", ["before", "after"])
def test_acts_on_the_input_or_on_the_output(position):
    m, f = model(), lag()
    block = copy.deepcopy(m.blocks[1])
    assert insert(m, "blocks.1", lambda _: f, position=position) == [f"blocks.1.dsp_{position}"]
    before, after = block(f(X)), f(block(X))
    assert_same(m.blocks[1](X), before if position == "before" else after)
    assert not torch.equal(before, after)


@pytest.mark.parametrize("position", ["before", "after"])
def test_a_place_that_is_taken_is_refused(position):
    m = model()
    insert(m, "blocks.1", lag, position=position)
    before = snapshot(m)
    message = rf"a layer {position} it already, blocks.1.dsp_{position}.*Chain of both"
    with pytest.raises(ValueError, match=message):
        insert(m, "blocks.*", lag, position=position)
    check_unchanged(m, before)
    insert(m, "blocks.1", lag, position="after" if position == "before" else "before")


def test_build_gets_each_submodule_found():
    m, seen = model(), []

    def build(linear):
        seen.append(linear)
        return FIR(linear.in_features)

    names = insert(m, "blocks.*.attn.mix", build)
    assert seen == [block.attn.mix for block in m.blocks]
    assert names == [f"blocks.{i}.attn.mix.dsp_before" for i in range(3)]
    assert [m.get_submodule(name) for name in names] == [block.attn.mix.dsp_before for block in m.blocks]


def test_keyword_calls():
    """The signal is the first parameter of forward, in whatever order the keywords come."""
    m = model()
    mlp, f = copy.deepcopy(m.blocks[1].mlp), lag()
    insert(m, "blocks.1.mlp", lambda _: f)
    for args, kwargs in [
        ((), {"x": X, "scale": 0.25}),
        ((), {"scale": 0.25, "x": X}),
        ((X,), {"scale": 0.25}),
        ((X, 0.25), {}),
    ]:
        assert_same(m.blocks[1].mlp(*args, **kwargs), mlp(f(X), 0.25))
    with pytest.raises(TypeError, match=r"dsp_before.*Sublayer.*called with"):
        m.blocks[1].mlp()


def test_hooks_of_the_model_stay_around_the_layer():
    m, f = model(), lag()
    block = copy.deepcopy(m.blocks[0])  # it has a hook that adds 1
    insert(m, "blocks.0", lambda _: f, position="after")
    assert_same(m.blocks[0](X), f(block.forward(X)) + 1)


@pytest.mark.parametrize("mode", [True, False])
def test_takes_the_mode_of_its_place(mode):
    m = model().train(mode)
    insert(m, "head", lambda _: nn.Dropout(0.5).train(not mode))
    assert m.head.dsp_before.training is mode


def test_identity_takes_the_dtype_of_the_layer():
    m = model().double()
    insert(m, "head", lambda _: FIR(WIDTH, dtype=torch.float64), identity=True)
    assert m.head.dsp_before.gain.dtype == torch.float64
    m(X.double())


# Everything is checked before anything is changed


def failing_at(n):
    calls = []

    def build(_):
        calls.append(None)
        if len(calls) == n:
            raise RuntimeError("cannot build")
        return lag()

    return build


def tied():
    m = model()
    m.tied = m.blocks[1].mlp
    return m


SHARED_LAYER = lag()
NEW = "new module for each place, got for blocks"
NO_MODULE = "build must return a module, got None of type NoneType for head"
NO_LAYER = "identity=True needs a dsptorch layer, got ReLU for head.*Pointwise"
REFUSALS = {
    "third build": ("blocks.*", failing_at(3), {}, RuntimeError, "cannot build"),
    "no match": ("nothing.*", lag, {}, ValueError, r"nothing in Model matches 'nothing\.\*'"),
    "where": (7, lag, {}, TypeError, "glob on names"),
    "position": ("head", lag, {"position": "inside"}, ValueError, "'before' or 'after', got 'inside'"),
    "identity": ("head", lambda _: nn.ReLU(), {"identity": True}, TypeError, NO_LAYER),
    "a layer": ("head", lag(), {}, TypeError, r"got a FIR; write lambda module: FIR\(\.\.\.\)"),
    "no module": ("head", lambda _: None, {}, TypeError, NO_MODULE),
    "twice": ("blocks.*", lambda _: SHARED_LAYER, {}, ValueError, rf"{NEW}\.1 one"),
    "part": ("blocks.*", lambda block: block.attn, {}, ValueError, rf"{NEW}\.0"),
    "around its own place": ("blocks.*", nn.Sequential, {}, ValueError, r"blocks\.0"),
    "shared by a glob": ("**.mlp", lag, {}, ValueError, "is used in 2 places"),
    "shared by its name": ("tied", lag, {}, ValueError, "is used in 2 places"),
    "shared by a type": (Sublayer, lag, {}, ValueError, "is used in 2 places"),
    **{
        f"layout {layout}": ("head", lag, {"layout": layout}, ValueError, "one of btd, tbd, bct, got")
        for layout in ("BTD", "tdb", 3)
    },
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_changes_nothing(case):
    where, build, options, kind, message = REFUSALS[case]
    m = tied()
    before = snapshot(m)
    with pytest.raises(kind, match=message):
        insert(m, where, build, **options)
    check_unchanged(m, before)


def test_a_member_beside_a_shared_one_is_a_place():
    insert(tied(), "blocks.0.mlp", lag)


def test_the_check_sees_a_half_change():
    m = model()
    before = snapshot(m)
    m.blocks[0].extra = nn.Identity()
    with pytest.raises(AssertionError):
        check_unchanged(m, before)
    m = model()
    before = snapshot(m)
    m.head.register_forward_hook(lambda *args: None)
    with pytest.raises(AssertionError):
        check_unchanged(m, before)
