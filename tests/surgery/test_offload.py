"""Models whose weights accelerate keeps elsewhere: its hooks replace the forward of modules, and bring the weights."""

import pytest
import torch
from accelerate import cpu_offload, dispatch_model
from accelerate.hooks import ModelHook, add_hook_to_module, remove_hook_from_module
from torch import nn

from dsptorch import (
    FIR,
    AtRate,
    Blend,
    BoundedHyperparam,
    Chain,
    ChannelBottleneck,
    FilterBank,
    LFORouting,
    Multirate,
    Residual,
    Subbands,
    UndecimatedBank,
    Wavelet,
    fold,
    insert,
    remove,
    streaming,
)
from tests.surgery.models import check_unchanged, draw, snapshot
from tests.tolerances import assert_close

X = draw(2, 12, 8)


def fir(_=None):
    return FIR(8, 3, init="lowpass")


def opened(layer):
    nn.init.constant_(layer.gain, 0.5)
    return layer


LAYERS = {
    "FIR": fir,
    "Multirate": lambda: Multirate(8),
    "Multirate learned": lambda: Multirate(8, BoundedHyperparam(2.3, 1, 3, integer=True)),
    "LFORouting": lambda: LFORouting(8),
    "Chain": lambda: Chain(fir(), Multirate(8)),
    "Residual": lambda: Residual(fir()),
    "Blend": lambda: opened(Blend(fir())),
    "ChannelBottleneck": lambda: ChannelBottleneck(8),
    "AtRate": lambda: AtRate(fir(), 2),
    "Subbands": lambda: Subbands(FilterBank(8, 2), FIR(16, 2)),
    "Subbands of a wavelet": lambda: Subbands(Wavelet(8, "db2", 2)),
    "UndecimatedBank": lambda: UndecimatedBank(8),
}


def streamed(model):
    with streaming(model):
        return torch.cat([model(chunk) for chunk in X.split([5, 1, 6], 1)], 1)


def offloaded(model):
    cpu_offload(model, execution_device=torch.device("cpu"))
    assert all(p.is_meta for p in model.parameters())
    return model


def linears():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))


def check_offloaded(name):
    model = nn.Sequential(nn.Linear(8, 8), LAYERS[name]())
    expected = model(X).detach()
    offloaded(model)
    assert_close(model(X), expected)
    assert_close(streamed(model), expected)
    assert_close(fold(model)(X), expected)
    with torch.no_grad():
        assert_close(model[1].step(model[0](X))[0], expected)


@pytest.mark.parametrize("name", LAYERS)
def test_offloaded_layers_compute_stream_and_fold(name):
    check_offloaded(name)


def test_members_whose_weights_are_not_brought_are_caught(monkeypatch):
    monkeypatch.setattr("dsptorch.layers.chain.call_layer", lambda layer, *chunk: layer.process(*chunk))
    with pytest.raises(RuntimeError, match="meta"):
        check_offloaded("Chain")


def test_weights_on_disk(tmp_path):
    model = nn.Sequential(nn.Linear(8, 8), Chain(fir(), ChannelBottleneck(8)), nn.Linear(8, 8))
    expected = model(X).detach()
    places = {"0": "cpu", "1": "disk", "2": "cpu"}
    dispatch_model(model, device_map=places, main_device="cpu", offload_dir=str(tmp_path))
    assert model[1].layers[0].weight.is_meta
    assert_close(model(X), expected)


def test_layers_that_were_inserted_before_come_out_when_the_hooks_are_off():
    model = linears()
    before = snapshot(model, X)
    names = insert(model, "*", lambda _: LAYERS["Chain"](), identity=True)
    opened(model[0].dsp_before)
    inserted = snapshot(model, X)
    expected = model(X).detach()
    offloaded(model)
    for where in (None, "0.dsp_before"):
        with pytest.raises(
            ValueError, match=r"wrapped the forward of 0 .*remove_hook_from_module\(model, recurse"
        ):
            remove(model, where)
    for y in (model(X), streamed(model), fold(model)(X)):
        assert_close(y, expected)
    remove_hook_from_module(model, recurse=True)
    assert torch.equal(model(X), inserted["output"])
    assert remove(model) == names
    after = snapshot(model, X)
    assert after["repr"] == before["repr"]
    assert torch.equal(after["output"], before["output"])
    assert all(set(vars(module)) == set(vars(nn.Linear(8, 8))) for module in model)


def test_layers_that_were_inserted_after_come_out_before():
    model = linears()
    plain = model(X).detach()
    offloaded(model)
    layers = [fir(), fir()]
    remaining = iter(layers)
    names = insert(model, "*", lambda _: next(remaining))
    inner = linears()
    assert_close(model(X), inner[1](layers[1](inner[0](layers[0](X)))))
    assert remove(model) == names
    assert_close(model(X), plain)


def test_hooks_that_are_taken_off_with_the_layer_are_seen():
    """accelerate gives back the forward that it found, which knows nothing of the layer inserted since."""
    model = linears()
    plain = model(X).detach()
    offloaded(model)
    names = insert(model, "*", fir)
    remove_hook_from_module(model, recurse=True)
    with pytest.raises(
        RuntimeError, match=r"a layer was inserted at this Linear, and is lost: .*gave its forward back"
    ):
        model(X)
    for use in (streamed, fold, lambda model: insert(model, "*", fir, position="after")):
        with pytest.raises(
            ValueError, match="a layer was inserted at 0, but something put another forward there"
        ):
            use(model)
    assert remove(model) == names
    assert_close(model(X), plain)
    assert not any(module._forward_pre_hooks for module in model)


def test_insertion_beside_a_layer_that_is_wrapped():
    model = linears()
    before = snapshot(model, X)
    names = insert(model, "0", fir)
    add_hook_to_module(model[0], ModelHook())
    with pytest.raises(ValueError, match="0 has a layer before it already"):
        insert(model, "0", fir)
    names += insert(model, "*", fir, position="after")
    inner, layer = linears(), fir()
    assert_close(model(X), layer(inner[1](layer(inner[0](layer(X))))))
    remove_hook_from_module(model, recurse=True)
    assert sorted(remove(model)) == sorted(names)
    check_unchanged(model, before, X)
