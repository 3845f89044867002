"""Layers in models that nobody here wrote: they start as the identity, learn, are saved, and come out."""

import copy
import inspect
import pickle

import pytest
import torch
from torch.utils._pytree import tree_leaves

from dsptorch import FIR, Blend, Chain, Multirate, insert, remove
from tests.surgery.real_models import CASES, WIDTH, Case, each


def put_in(case: Case, **changes):
    """Insert, with a proof on the probe."""
    options = {"layout": case.layout, "position": case.position, "identity": True} | changes

    def build(_):
        lowpass = FIR(WIDTH, 3, init="lowpass", causal=case.causal)
        return Chain(lowpass, Multirate(WIDTH, causal=case.causal))

    return insert(case.model, case.where, build, example=case.probe, batch_dim=case.batch_dim, **options)


def outputs(case: Case, model=None):
    """The tensors of what the model returns on the probe."""
    args, kwargs = ((), case.probe) if isinstance(case.probe, dict) else (case.probe, {})
    args = args if isinstance(args, tuple) else (args,)
    output = (model or case.model)(*args, **kwargs)
    return [leaf for leaf in tree_leaves(output) if isinstance(leaf, torch.Tensor)]


def check_same(first, second):
    assert len(first) == len(second)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def open_up(model, names):
    """Let the layers act."""
    with torch.no_grad():
        for name in names:
            model.get_submodule(name).gain.fill_(0.7)


# Identity


def check_identity(case, **changes):
    before = outputs(case)
    names = put_in(case, **changes)
    check_same(outputs(case), before)
    open_up(case.model, names)
    assert not torch.equal(outputs(case)[0], before[0])


@each
@pytest.mark.parametrize("training", [True, False])
def test_starts_as_the_identity(name, training):
    case = CASES[name]()
    case.model.train(training)
    check_identity(case)


def test_what_is_no_identity_is_caught():
    with pytest.raises(AssertionError):
        check_identity(CASES["nn.GRU"](), identity=False)


# Training


def check_trains(case, names):
    model = case.model.train()
    target = torch.randn(outputs(case)[0].shape, generator=torch.Generator().manual_seed(2))
    optimizer, losses = torch.optim.Adam(model.parameters(), lr=1e-2), []
    for _ in range(5):
        loss = (outputs(case)[0] - target).square().mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())
    assert losses[-1] < losses[0], losses
    for name in names:
        layer = model.get_submodule(name)
        assert layer.gain.item() != 0
        assert all(part.weight.grad.abs().sum() > 0 for part in layer.modules() if isinstance(part, FIR))


@each
def test_trains(name):
    case = CASES[name]()
    check_trains(case, put_in(case))


class Detached(Blend):
    def forward(self, x):
        return super().forward(x.detach()).detach() + x


def test_a_layer_that_does_not_learn_is_caught():
    case = CASES["nn.GRU"]()
    names = insert(case.model, case.where, lambda _: Detached(FIR(WIDTH, 3)), position=case.position)
    with pytest.raises(AssertionError):
        check_trains(case, names)


# Copies and checkpoints


def through_pickle(model):
    return pickle.loads(pickle.dumps(model))  # noqa: S301


def check_copy(case, names, make_copy):
    """The copy gives the same numbers, and has layers of its own."""
    expected = outputs(case)
    twin = make_copy(case.model)
    check_same(outputs(case, twin), expected)
    with torch.no_grad():
        for name in names:
            twin.get_submodule(name).gain.zero_()
    assert not torch.equal(outputs(case, twin)[0], expected[0])
    check_same(outputs(case), expected)
    assert remove(twin) == names


@each
def test_copies(name):
    case = CASES[name]()
    case.model.eval()
    names = put_in(case)
    open_up(case.model, names)
    check_copy(case, names, copy.deepcopy)
    check_copy(case, names, through_pickle)


def test_a_copy_that_shares_its_layers_is_caught():
    case = CASES["nn.GRU"]()
    names = put_in(case)
    open_up(case.model, names)
    with pytest.raises(AssertionError):
        check_copy(case, names, copy.copy)


@each
def test_checkpoints(name):
    case = CASES[name]()
    plain, before = copy.deepcopy(case.model), outputs(case)
    names = put_in(case)
    added = {key for key in case.model.state_dict() if key.startswith(tuple(f"{name}." for name in names))}
    assert added
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.mul_(1.1)
    result = case.model.load_state_dict(plain.state_dict(), strict=False)
    assert set(result.missing_keys) == added
    assert not result.unexpected_keys
    assert not torch.equal(outputs(case)[0], before[0])
    check_same(outputs(case), outputs(case, plain))  # the layers are the identity still

    open_up(case.model, names)
    again = CASES[name]()
    put_in(again)
    again.model.load_state_dict(case.model.state_dict(), strict=True)
    again.model.train(case.model.training)
    check_same(outputs(again), outputs(case))
    old = {key: value for key, value in case.model.state_dict().items() if key not in added}
    plain.load_state_dict(old, strict=True)


# Removal


def anatomy(model):
    """All that the modules of a model hold: attributes, parameters, buffers, children and hooks, by identity."""
    return [
        (
            name,
            type(module),
            module.training,
            {key: _identities(value) for key, value in vars(module).items()},
        )
        for name, module in model.named_modules()
    ]


def _identities(value):
    return [(key, id(item)) for key, item in value.items()] if isinstance(value, dict) else id(value)


def check_removal(case, take_out):
    case.model.eval()
    before = outputs(case)  # first, for what a first call may set up
    parts, numbers = anatomy(case.model), {key: v.clone() for key, v in case.model.state_dict().items()}
    names = put_in(case, identity=False)
    assert anatomy(case.model) != parts
    outputs(case)
    assert take_out(case.model) == names
    assert anatomy(case.model) == parts
    after = case.model.state_dict()
    assert after.keys() == numbers.keys()
    check_same(list(after.values()), list(numbers.values()))
    check_same(outputs(case), before)


@each
def test_removal_restores_exactly(name):
    check_removal(CASES[name](), remove)


def test_a_removal_that_leaves_something_is_caught():
    def forget_a_hook(model):
        names = remove(model)
        model.rnn.register_forward_pre_hook(lambda module, args: None)
        return names

    with pytest.raises(AssertionError):
        check_removal(CASES["nn.GRU"](), forget_a_hook)


# What is around it


@each
def test_signatures_stay(name):
    """HuggingFace's generate and Trainer read them."""
    case = CASES[name]()
    before = {name: inspect.signature(part.forward) for name, part in case.model.named_modules()}
    put_in(case)
    assert {name: inspect.signature(case.model.get_submodule(name).forward) for name in before} == before


@pytest.mark.parametrize("name", [name for name in CASES if "time first" in name or name == "Conformer"])
def test_time_first_is_refused_until_it_is_said(name):
    case = CASES[name]()
    before = anatomy(case.model)
    with pytest.raises(
        ValueError, match=r"batch_first=False, so time may come first.*layout='tbd'.*layout='btd'"
    ):
        put_in(case, layout=None)
    assert anatomy(case.model) == before


@pytest.mark.parametrize("name", ["convolutions", "images", "Whisper, its convolutions"])
def test_channels_second_is_refused_until_it_is_said(name):
    case = CASES[name]()
    before = anatomy(case.model)
    with pytest.raises(ValueError, match=r"whose channels come second; give layout='bct'"):
        put_in(case, layout=None)
    assert anatomy(case.model) == before


CHANNELS_LAST = [name for name in CASES if "convolutions" not in name and name != "images"]


@pytest.mark.parametrize("name", CHANNELS_LAST)
def test_the_probe_catches_a_wrong_layout(name):
    """A filter across the batch, which nothing else would notice, unless there is padding to keep out."""
    case = CASES[name]()
    before = anatomy(case.model)
    with pytest.raises(ValueError, match=r"would mix the rows of a batch|segment_ids must be of shape"):
        put_in(case, layout="btd" if case.layout == "tbd" else "tbd")
    assert anatomy(case.model) == before


def test_hidden_states_can_be_asked_for():
    """transformers listens to its blocks by hooks of its own."""
    case = CASES["GPT-2"]()
    case.model.eval()
    expected = case.model(case.probe, output_hidden_states=True).hidden_states
    names = put_in(case)
    check_same(case.model(case.probe, output_hidden_states=True).hidden_states, expected)
    assert remove(case.model) == names
