"""Bands within a layer: any chunks, banks in banks, bands apart, and one set of parameters."""

import copy
import pickle
import random

import pytest
import torch
from safetensors.torch import save_file

import dsptorch as d
from tests.layers.table import scattered, signal
from tests.layers.test_filterbank import BANKS, DOUBLE, relative_error, trained
from tests.tolerances import assert_close, assert_same


def check_chunks(layer, x, lengths):
    outputs, state = [], None
    for chunk in x.split(lengths, 1):
        y, state = layer.step(chunk, state)
        outputs.append(y)
    assert (torch.cat(outputs, 1) - layer(x)).abs().max() <= 1e-10


def nested():
    """Banks in banks: each kind around another."""
    inner = d.Subbands(d.FilterBank(8, 3, "dft", overlap=1, **DOUBLE), d.FIR(48, 2, init="delays", **DOUBLE))
    middle = d.Subbands(d.FilterBank(4, 2, "paraunitary", **DOUBLE), inner)
    apart = d.Split(d.FIR(2, 3, init="lowpass", delay=1, **DOUBLE), d.Delay(2, 0))
    return scattered(
        d.Chain(
            d.Subbands(d.FilterBank(2, 2, "lattice", **DOUBLE), middle),
            d.Subbands(d.FilterBank(2, 2, overlap=1, **DOUBLE), apart),
        )
    )


def test_any_chunks_of_banks_in_banks():
    layer, rng = nested(), random.Random(0)
    for seed in range(12):
        time = rng.randint(1, 90)
        lengths = []
        while sum(lengths) < time:
            lengths.append(min(rng.choice((0, 1, 1, 2, 3, 7, 20)), time - sum(lengths)))
        check_chunks(layer, signal(2, time, seed=seed, width=2), lengths)


def test_a_bank_that_forgets_its_phase_is_caught():
    layer = nested()
    bank = layer.members[0].members[0]
    process = bank.process
    bank.process = lambda x, memory, timeline: process(x, memory, timeline._replace(phase=0))
    with pytest.raises((AssertionError, RuntimeError)):
        check_chunks(layer, signal(1, 40, width=2), [3, 5, 32])


def test_banks_in_banks_reconstruct():
    bank = d.FilterBank(1, 2, "lattice", **DOUBLE)
    layer = d.Subbands(bank, d.Split(d.Subbands(d.FilterBank(1, 4, **DOUBLE)), d.Delay(1, 0)))
    assert layer.delay == 7 + 2 * 15
    x = signal(2, 120, width=1)
    assert_close(layer(x)[:, layer.delay :], x[:, : -layer.delay])


def test_bands_apart_are_aligned():
    """A delay in one band delays the other as much."""
    layer = d.Subbands(d.FilterBank(1, 2, "lattice", **DOUBLE), d.Split(d.Delay(1, 3), d.Delay(1, 0)))
    x = signal(1, 60, width=1)
    assert layer.delay == 7 + 2 * 0 + 2 * 3
    late = d.Subbands(layer.members[0], d.Split(d.Delay(1, 3), d.FIR(1, 1, **DOUBLE)))
    assert_close(layer(x), late(x))


# What is stored


def test_the_parameters_of_subbands_are_in_it_once(tmp_path):
    layer = scattered(d.Subbands(BANKS["cosine"](), d.FIR(8, 2)))
    keys = [name for name, _ in layer.named_parameters(remove_duplicate=False)]
    assert sorted(keys) == sorted(layer.state_dict()) == ["layers.0.filters.angles", "layers.1.weight"]
    save_file(layer.state_dict(), tmp_path / "layer.safetensors")  # which refuses shared tensors
    twice = d.Chain(layer.members[0], layer.members[0].synthesis())
    with pytest.raises(RuntimeError, match="share memory"):
        save_file(twice.state_dict(), tmp_path / "twice.safetensors")


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])  # noqa: S301
def test_copies_share_their_own_bank(copied):
    layer, x = d.Subbands(BANKS["cosine"]()).double(), signal(1, 60, width=2)
    twin = copied(layer)
    assert twin.members[-1].bank is twin.members[0] is not layer.members[0]
    with torch.no_grad():
        twin.members[0].filters.angles.add_(1)
    assert relative_error(twin, x) < 1e-12
    assert relative_error(layer, x) < 1e-12


def test_a_model_holds_a_synthesis_beside_its_bank():
    """As modules of their own, an encoder and a decoder: trained together, they stay each other's inverse."""
    bank = BANKS["paraunitary"]()
    model = torch.nn.ModuleDict({"encoder": bank, "decoder": bank.synthesis()})
    assert len(list(model.parameters())) == 2
    model.to(torch.float64)
    trained(bank, 3)
    x = signal(1, 60, width=2)
    assert_close(model["decoder"](model["encoder"](x))[:, 15:60], x[:, :45])


def test_filters_stay_in_float32_in_a_model_of_half_precision():
    bank = BANKS["cosine"]().to(torch.bfloat16)
    assert bank.filters.angles.dtype == bank.matrix().dtype == torch.float32
    layer, x = d.Subbands(bank), signal(1, 60, width=2).bfloat16()
    assert relative_error(layer, x) <= 2**-7  # of the signal, which bands of half precision bound


def test_a_fixed_bank_computes_its_filters_once():
    bank = BANKS["cosine"]()
    with torch.no_grad():
        assert bank.matrix() is bank.matrix()
        bank.filters.angles.data.add_(0.1)
        moved = bank.matrix()
    assert_close(moved, bank.matrix())


def check_hooks_on_filters(bank):
    """On those of the synthesis too, and after a first call that kept what they are."""
    layer, x = d.Subbands(bank), signal(1, 40, width=2)
    with torch.no_grad():
        y = layer(x)
        hook = layer.members[0].filters.register_forward_hook(lambda module, args, taps: 2 * taps)
        assert_close(layer(x), 4 * y)
        hook.remove()
        assert_same(layer(x), y)


@pytest.mark.parametrize("bank", [BANKS["cosine"], lambda: d.Wavelet(2, "db2", **DOUBLE)])
def test_hooks_on_the_filters_act(bank):
    check_hooks_on_filters(bank())


def test_filters_that_are_kept_past_hooks_are_caught(monkeypatch):
    monkeypatch.setattr("dsptorch.layers.bank_filters.is_plain", lambda module: True)
    with pytest.raises(AssertionError):
        check_hooks_on_filters(BANKS["cosine"]())


def test_folds_into_fixed_filters():
    layer = scattered(d.Subbands(BANKS["paraunitary"](), d.Chain(d.FIR(8, 2), d.FIR(8, 3))))
    folded = d.fold(layer)
    x = signal(2, 50, width=2)
    assert_close(folded(x), layer(x))
    assert list(folded.state_dict()) == ["layers.0.filters.taps", "layers.1.weight"]
    assert not list(folded.parameters())
    alone = d.fold(layer.members[0].synthesis())
    assert_close(alone(layer.members[0](x)), layer.members[0].synthesis()(layer.members[0](x)))
    assert d.fold(BANKS["cosine"]().to(torch.bfloat16)).to(torch.bfloat16).matrix().dtype == torch.float32


def test_subbands_refuse_what_does_not_fit():
    bank = d.FilterBank(2, 4)
    with pytest.raises(
        ValueError, match=r"Subbands of 8 channels in all bands needs an inner layer of rate 1.*to 2"
    ):
        d.Subbands(bank, d.FIR(2))
    with pytest.raises(ValueError, match="got rate 1/2 and width 8"):
        d.Subbands(bank, d.Decimate(8, 2))
    with pytest.raises(TypeError, match="wrap a module that treats every time step by itself in Pointwise"):
        d.Subbands(bank, torch.nn.Linear(8, 8))
    with pytest.raises(TypeError, match=r"a layer with synthesis\(\), got FIR"):
        d.Subbands(d.FIR(2))
    with pytest.raises(TypeError, match="Synthesis takes a FilterBank, got Linear"):
        d.Synthesis(torch.nn.Linear(2, 2))


def test_refuses_the_state_of_another_layer():
    x = signal(1, 7, width=2)
    bank = d.FilterBank(2, 4, **DOUBLE)
    _, state = bank.step(x)
    with pytest.raises(
        ValueError,
        match="every 2 samples, and the state is 3 samples after such a place",
    ):
        d.FilterBank(2, 2, "paraunitary", overlap=4, **DOUBLE).step(x, state)
    _, other = d.FilterBank(2, 2, "lattice", **DOUBLE).step(x)
    with pytest.raises(ValueError, match=r"the state, at position 7, is that of a layer that is 1 samples"):
        bank.step(x, other)
    _, state = d.FIR(2, 16, **DOUBLE).step(x)
    with pytest.raises(ValueError, match="the state has no phase; pass the state that this"):
        bank.step(x, state)
    ids = torch.tensor([[0, 0, 0, 1, 1, 1, 1]])
    with pytest.raises(
        ValueError, match=r"each segment must begin at a multiple of 4 .* put padding before it"
    ):
        bank(x, ids)
