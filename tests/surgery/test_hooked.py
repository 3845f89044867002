"""Models whose layers have hooks, pruned or normalized weights, stream and take insertions."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from dsptorch import (
    FIR,
    Blend,
    Chain,
    ChannelBottleneck,
    Layer,
    Multirate,
    Residual,
    fold,
    insert,
    remove,
    streaming,
)
from tests.surgery.models import draw, small
from tests.tolerances import assert_close

X = draw(2, 12, 8)


def fir(_=None):
    return FIR(8, 3, init="lowpass")


def built_in():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(8, 8), Chain(fir(), Residual(fir()), Blend(Multirate(8))), ChannelBottleneck(8)
    )


def streamed(model):
    with streaming(model):
        return torch.cat([model(chunk) for chunk in X.split([5, 1, 6], 1)], 1)


def count_calls(model):
    """How often the hooks of each layer run, by name."""
    calls = {}
    for name, layer in model.named_modules():
        if isinstance(layer, Layer):

            def count(module, args, output, name=name):
                calls[name] = calls.get(name, 0) + 1

            layer.register_forward_hook(count)
    return calls


def test_hooks_run_once_in_a_call_also_within_streaming():
    model = built_in()
    calls, expected = count_calls(model), model(X)
    assert set(calls.values()) == {1}
    assert len(calls) == 8
    calls.clear()
    assert_close(streamed(model), expected)
    assert set(calls.values()) == {3}
    assert len(calls) == 8


def test_pruned_layers_stream_with_their_present_weights():
    model = built_in()
    places = model[1].layers[0], model[2].down
    for layer in places:
        prune.l1_unstructured(layer, "weight", amount=0.5)
        with torch.no_grad():
            layer.weight_orig.mul_(3)
    y = streamed(model)
    for layer in places:
        prune.remove(layer, "weight")
    assert_close(y, model(X))


def test_a_layer_whose_forward_is_wrapped_streams():
    model, inner = nn.Sequential(fir()), fir()
    model[0].forward = lambda x, *args, **kwargs: 2 * type(inner).forward(model[0], x, *args, **kwargs)
    assert_close(streamed(model), 2 * inner(X))


NORMS = {
    "weight_norm": parametrizations.weight_norm,
    "weight_norm by a hook": nn.utils.weight_norm,
    "spectral_norm": parametrizations.spectral_norm,
    "pruned": lambda layer: prune.l1_unstructured(layer, "weight", amount=0.5),
}


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
def test_insertion_beside_another_weight(norm, norm_first):
    plain, layer = nn.Sequential(nn.Linear(8, 8)).eval(), fir()
    model = copy.deepcopy(plain)
    NORMS[norm](plain[0])
    if norm_first:
        NORMS[norm](model[0])
    insert(model, "0", lambda _: layer)
    if not norm_first:
        NORMS[norm](model[0])
    model.eval(), plain.eval()
    with torch.no_grad():
        next(
            parameter for name, parameter in model.named_parameters() if "orig" in name or "_v" in name
        ).mul_(2)
    plain.load_state_dict(model.state_dict(), strict=False)
    assert_close(model(X), plain(layer(X)))
    assert remove(model) == ["0.dsp_before"]
    assert torch.equal(model(X), plain(X))
    assert len(model[0]._forward_pre_hooks) == len(plain[0]._forward_pre_hooks)


# A layer may be a place itself, of a whole call


def test_a_layer_with_an_inserted_layer_runs_whole():
    model, first, second = nn.Sequential(fir()), fir(), Multirate(8)
    insert(model, "0", lambda _: second)
    assert_close(model(X), first(second(X)))
    assert_close(fold(model)(X), model(X))
    assert remove(model) == ["0.dsp_before"]


@pytest.mark.parametrize(
    "run",
    [
        lambda model: model[0].step(X),
        lambda model: Chain(model[0])(X),
        lambda model: Residual(Chain(model[0])).step(X),
        streamed,
    ],
)
def test_but_not_in_chunks_nor_within_another_layer(run):
    """The inserted layer has no memory there, and knows of no segments."""
    model = nn.Sequential(fir())
    insert(model, "0", fir)
    with pytest.raises(ValueError, match="build a Chain of both"):
        run(model)


def test_a_layer_streams_in_one_context():
    model = nn.Sequential(fir())
    with streaming(model), pytest.raises(ValueError, match="0 streams already; leave that context"):
        streamed(model)


def test_layers_within_a_layer_take_hooks_of_other_libraries():
    """A low-rank adapter by a hook, on a member and on a part of a bottleneck."""
    model, down, up = built_in(), nn.Linear(8, 2), nn.Linear(2, 8)
    model[1].layers[0].register_forward_hook(lambda module, args, output: output + up(down(args[0])))
    adapted = small(lambda self, x: self.f(x) + up(down(x)), f=fir())
    by_hand = copy.deepcopy(model)
    by_hand[1].layers[0]._forward_hooks.clear()
    y = adapted(model[0](X))
    for layer in (*by_hand[1].layers[1:], by_hand[2]):
        y = layer(y)
    assert_close(model(X), y)
    assert_close(streamed(model), y)
    assert_close(fold(model)(X), y)
