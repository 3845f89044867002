"""Inserted layers come out without a trace, and the model stays itself meanwhile."""

import copy
import pickle

import pytest
import torch
from torch import nn

from dsptorch import FIR, Multirate, insert, remove
from tests.surgery.models import WIDTH, Block, Model, check_unchanged, model, snapshot
from tests.tolerances import assert_close, assert_same


def lag(_=None, taps=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return FIR(WIDTH, taps, init=torch.randn(taps, WIDTH, generator=generator))


def signal():
    return torch.randn(2, 9, WIDTH, generator=torch.Generator().manual_seed(1))


def test_removal_restores_exactly():
    m = model()
    before = snapshot(m)
    names = [
        *insert(m, "blocks.*", lag),
        *insert(m, "blocks.*", lag, position="after", identity=True),
        *insert(m, "blocks.1.mlp", lag),
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
    remove(m)
    insert(m, "blocks.0", lambda _: nn.Sequential(nn.Linear(WIDTH, WIDTH)))
    assert len(insert(m, nn.Linear, lag)) == 7
    with pytest.raises(ValueError, match="matches nothing but layers that were inserted before"):
        insert(m, "blocks.0.dsp_before", lag)


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
