"""Layers go into a model that knows nothing of them, and come out without a trace."""

import copy
import pickle

import pytest
import torch
from torch import nn

from dsptorch import FIR, ChannelBottleneck, LFORouting, Multirate, insert, remove
from tests.surgery.models import WIDTH, Block, Model, Sublayer, check_unchanged, model, snapshot
from tests.tolerances import assert_close, assert_same


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
def test_several_at_one_place_in_the_order_in_which_they_came(position):
    m, x = model(), signal()
    block, first, second = copy.deepcopy(m.blocks[1]), lag(seed=1), Nonlinear()
    for layer in (first, second):
        insert(m, "blocks.1", lambda _, layer=layer: layer, position=position)
    if position == "before":
        assert_same(m.blocks[1](x), block(second(first(x))))
        assert not torch.equal(m.blocks[1](x), block(first(second(x))))
    else:
        assert_same(m.blocks[1](x), second(first(block(x))))
    assert remove(m, f"blocks.1.dsp_{position}") == [f"blocks.1.dsp_{position}"]
    assert_same(m.blocks[1](x), block(second(x)) if position == "before" else second(block(x)))


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


def test_tuple_outputs():
    m, x = model(), signal()
    gru, f = copy.deepcopy(m.recurrent.gru), lag()
    insert(m, "recurrent.gru", lambda _: f, position="after")
    outputs, hidden = m.recurrent.gru(x)
    expected, expected_hidden = gru(x)
    assert_same(outputs, f(expected))
    assert_same(hidden, expected_hidden)


def test_lists_and_other_outputs():
    class Listed(nn.Module):
        def forward(self, x):
            return [x, 3]

    class Mapped(nn.Module):
        def forward(self, x):
            return {"x": x}

    m = nn.ModuleDict({"listed": Listed(), "mapped": Mapped()})
    insert(m, "*", lag, position="after")
    y = m["listed"](signal())
    assert isinstance(y, list)
    assert_same(y[0], lag()(signal()))
    assert y[1] == 3
    with pytest.raises(TypeError, match=r"dsp_after.*after Mapped.*a tensor or a tuple.*got dict"):
        m["mapped"](signal())


def test_keyword_calls():
    """Block calls its mlp by keyword alone."""
    m, x = model(), signal()
    mlp, f = copy.deepcopy(m.blocks[1].mlp), lag()
    insert(m, "blocks.1.mlp", lambda _: f)
    assert_same(m.blocks[1].mlp(x=x, scale=0.25), mlp(f(x), 0.25))
    assert_same(m.blocks[1].mlp(x, scale=0.25), mlp(f(x), 0.25))
    assert_same(m.blocks[1].mlp(x, 0.25), mlp(f(x), 0.25))
    with pytest.raises(TypeError, match="called without arguments"):
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
    assert_same(m.blocks[0](x), f(block(x)))


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


# Removal


def test_removal_restores_exactly():
    m = model()
    before = snapshot(m)
    names = [
        *insert(m, "blocks.*", lag),
        *insert(m, "blocks.*", lag, position="after", identity=True),
        *insert(m, "blocks.1", lag),
        *insert(m, "recurrent.gru", lag, position="after"),
    ]
    assert len(names) == 8
    with pytest.raises(AssertionError):
        check_unchanged(m, before)
    assert sorted(remove(m)) == sorted(names)
    check_unchanged(m, before)


def test_removal_of_some():
    m = model()
    insert(m, "head", lag)
    before = snapshot(m)
    insert(m, "blocks.*", lambda _: Multirate(WIDTH))
    assert remove(m, Multirate) == [f"blocks.{i}.dsp_before" for i in range(3)]
    check_unchanged(m, before)
    insert(m, "blocks.*", lag)
    assert remove(m, "blocks.*.dsp_before") == [f"blocks.{i}.dsp_before" for i in range(3)]
    insert(m, "blocks.*", lag)
    assert remove(m, lambda name, layer: name.startswith("blocks")) == [
        f"blocks.{i}.dsp_before" for i in range(3)
    ]
    check_unchanged(m, before)


def test_removal_refuses_what_was_not_inserted():
    m = model()
    with pytest.raises(ValueError, match="there is no inserted layer in Model"):
        remove(m)
    insert(m, "blocks.1", lag)
    before = snapshot(m)
    for where in ("head", "**", "nothing"):
        with pytest.raises(ValueError, match=r"nothing|matches .* that was inserted"):
            remove(m, where)
    with pytest.raises(ValueError):  # noqa: PT011
        remove(m, nn.GRU)
    check_unchanged(m, before)


def test_inserted_layers_are_no_place():
    m = model()
    insert(m, "head", lambda _: nn.Sequential(nn.Linear(WIDTH, WIDTH)))
    assert len(insert(m, nn.Linear, lag)) == 7
    with pytest.raises(ValueError, match="matches nothing but layers that were inserted before"):
        insert(m, "head.dsp_before", lag)


# The model stays itself


def test_names_classes_and_old_checkpoints_survive():
    m = model()
    old = {name: value + 1 for name, value in m.state_dict().items()}
    kinds = {name: type(module) for name, module in m.named_modules()}
    insert(m, "blocks.*", lag)
    assert isinstance(m, Model)
    assert all(isinstance(block, Block) for block in m.blocks)
    assert all(type(m.get_submodule(name)) is kind for name, kind in kinds.items())
    result = m.load_state_dict(old, strict=False)
    assert result.unexpected_keys == []
    assert result.missing_keys == [f"blocks.{i}.dsp_before.weight" for i in range(3)]
    assert all(torch.equal(m.state_dict()[name], value) for name, value in old.items())


def through_pickle(m):
    return pickle.loads(pickle.dumps(m))  # noqa: S301


@pytest.mark.parametrize("make_copy", [copy.deepcopy, through_pickle])
def test_copies(make_copy):
    m, x = model(), signal()
    before = snapshot(make_copy(m))
    insert(m, "blocks.*", lag)
    insert(m, "blocks.1", lag, position="after", identity=True)
    twin = make_copy(m)
    expected = m(x)
    assert_same(twin(x), expected)
    with torch.no_grad():
        twin.blocks[0].dsp_before.weight.zero_()
    assert not torch.equal(twin(x), expected)
    assert_same(m(x), expected)  # the hook of the copy finds the layer of the copy
    assert len(remove(twin)) == 4
    assert_same(snapshot(twin)["output"], before["output"])
    assert_same(m(x), expected)


def test_compiles_to_one_graph():
    torch._dynamo.reset()
    m, x = model(depth=1), signal()
    m.recurrent = nn.Identity()
    insert(m, "blocks.*.*", lag)
    insert(m, "head", lambda _: FIR(WIDTH, 3, init="lowpass"), position="after", identity=True)
    compiled = torch.compile(m, fullgraph=True, backend="aot_eager")
    assert_close(compiled(x), m(x))
    compiled(x).sum().backward()
    assert m.blocks[0].attn.dsp_before.weight.grad.abs().sum() > 0


def test_trains_and_saves_with_the_model():
    m, x = model(), signal()
    insert(m, "blocks.*", lag)
    torch.optim.SGD(m.parameters(), lr=0.1)
    m(x).sum().backward()
    assert all(block.dsp_before.weight.grad.abs().sum() > 0 for block in m.blocks)
    again = model()
    insert(again, "blocks.*", lambda _: FIR(WIDTH, 2))
    again.load_state_dict(m.state_dict(), strict=True)
    assert_same(again(x), m(x))
