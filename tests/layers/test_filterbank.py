"""Filterbanks as layers: they reconstruct after training, say what they are, and refuse what they cannot be."""

import pytest
import torch
import torch.nn.functional as F

import dsptorch as d
from dsptorch.testing import assert_energy_preserving, assert_perfect_reconstruction
from tests.layers.table import scattered, signal
from tests.tolerances import assert_close

BANKS = {
    "cosine": lambda **kw: d.FilterBank(2, 4, **kw),
    "cosine, odd": lambda **kw: d.FilterBank(2, 5, overlap=3, **kw),
    "MDCT": lambda **kw: d.FilterBank(2, 8, overlap=1, **kw),
    "paraunitary": lambda **kw: d.FilterBank(2, 4, "paraunitary", **kw),
    "lattice": lambda **kw: d.FilterBank(2, 2, "lattice", **kw),
    "dft": lambda **kw: d.FilterBank(2, 9, "dft", overlap=1, **kw),
}
each = pytest.mark.parametrize("name", BANKS)
DOUBLE = {"dtype": torch.float64}


def relative_error(layer, x):
    """Of what comes back, against the input."""
    with torch.no_grad():
        y = layer(x)
    return ((y[:, layer.delay :] - x[:, : -layer.delay]).abs().max() / x.abs().max()).item()


# Reconstruction


def trained(bank, steps, lr=0.1):
    """After steps of Adam on a task that has nothing to do with reconstruction: the energy of one band."""
    optimizer = torch.optim.Adam(bank.parameters(), lr=lr)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        x = torch.randn(4, 64, bank.d_model, generator=generator).to(bank.matrix().dtype)
        optimizer.zero_grad()
        bands = bank(x.cumsum(1) / 8).unflatten(-1, (-1, bank.d_model))
        (bands[:, :, 1].square().mean() - bands[:, :, 0].abs().mean()).backward()
        optimizer.step()
    return bank


def check_after_training(bank, steps=40):
    first = bank.matrix().detach().clone()
    x = torch.randn(2, 300, bank.d_model, generator=torch.Generator().manual_seed(1)).to(first.dtype)
    trained(bank, steps)
    assert (bank.matrix() - first).abs().max() > 0.01  # it did learn
    assert relative_error(d.Subbands(bank), x) <= (1e-12 if first.dtype == torch.float64 else 2e-6)


@each
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_reconstructs_after_training(name, dtype):
    torch.manual_seed(0)
    check_after_training(BANKS[name](dtype=dtype))


def test_taps_that_are_free_to_move_are_caught():
    """What soft losses hope to prevent."""
    bank = BANKS["lattice"]()
    free = torch.nn.Parameter(bank.matrix().detach().clone())
    bank.filters.matrix = lambda: free
    bank.filters.angles = free
    with pytest.raises(AssertionError):
        check_after_training(bank)


@each
def test_any_parameters_reconstruct_and_keep_energy(name):
    bank = scattered(BANKS[name]())
    x = signal(width=2)
    assert_perfect_reconstruction(
        (bank, bank.synthesis()), F.pad(x, (0, 0, 0, bank.numtaps)), delay=bank.numtaps - 1
    )
    assert_energy_preserving(bank, x)


# What is declared


@pytest.mark.parametrize(
    ("arguments", "numtaps", "stride", "width"),
    [
        ((2, 4), 16, 4, 8),
        ((2, 4, "paraunitary"), 16, 4, 8),
        ((2, 2, "lattice"), 8, 2, 4),
        ((2, 9, "dft"), 16, 4, 36),
    ],
)
def test_declares(arguments, numtaps, stride, width):
    bank = d.FilterBank(*arguments)
    assert (bank.numtaps, bank.stride, bank.d_out) == (numtaps, stride, width)
    assert (bank.rate * stride, bank.delay, bank.lookahead, bank.grid) == (1, 0, 0, stride)
    layer = d.Subbands(bank)
    assert (layer.rate, layer.delay, layer.lookahead, layer.grid) == (1, numtaps - 1, 0, stride)
    assert bank.matrix().shape == (width // 2, numtaps)


def test_bands_stand_beside_each_other():
    bank = scattered(BANKS["cosine"]())
    x = signal(width=2)
    bands = bank(x).unflatten(-1, (bank.num_bands, bank.d_model))
    for k, taps in enumerate(bank.matrix()):
        padded = F.pad(x.transpose(1, 2), (bank.numtaps - 1, 0)).reshape(4, 1, -1)
        alone = F.conv1d(padded, taps.flip(0).view(1, 1, -1), stride=bank.stride).view(2, 2, -1)
        assert_close(bands[:, :, k], alone.transpose(1, 2))


def test_the_bands_of_a_tone():
    """A tone in the middle of band 2 of 8 is in band 2."""
    bank = d.FilterBank(1, 8, overlap=3)
    tone = torch.cos(2 * torch.pi * 5 / 32 * torch.arange(640)).view(1, -1, 1)
    energy = bank(tone)[0, 10:].square().mean(0)
    assert energy.argmax() == 2
    assert energy[2] > 100 * (energy.sum() - energy[2])


# What is refused


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((2, 4, "cosin"), ValueError, "kind must be one of cosine, paraunitary.*did you mean cosine"),
        ((2, 2, "no such"), ValueError, "or an orthonormal wavelet, got 'no such'"),
        ((2, 4, 7), TypeError, "kind must be a str"),
        ((2, 1), ValueError, "num_bands must be at least 2"),
        ((2, 4.0), TypeError, "num_bands must be an int"),
        ((0, 4), ValueError, "d_model must be at least 1"),
        ((2, 3, "lattice"), ValueError, 'a lattice has 2 bands, got num_bands=3; kind="paraunitary"'),
        (
            (2, 2, "lattice", 1.75),
            ValueError,
            "an even number of taps, 4 . overlap, got overlap=1.75, 7 taps",
        ),
        ((2, 4, "cosine", 1.5), ValueError, "with a whole overlap, got overlap=1.5"),
        ((2, 4, "paraunitary", 1.2), ValueError, "whole halves, got overlap=1.2"),
        (
            (2, 8, "dft"),
            ValueError,
            "windows of 14 samples, of which 2 . overlap must be a divisor, got overlap=2",
        ),
        ((2, 4, "cosine", 0), ValueError, "overlap must be at least 0.5"),
        ((2, 4, "cosine", float("nan")), ValueError, "overlap must be at least 0.5"),
        ((2, 10**6), ValueError, "has 1000000 filters of 4,000,000 taps, .*; take fewer bands"),
        ((2, 4, "cosine", "2"), TypeError, "overlap must be a number"),
    ],
)
def test_refuses(arguments, error, message):
    *given, overlap = arguments if len(arguments) == 4 else (*arguments, None)
    with pytest.raises(error, match=message):
        d.FilterBank(*given, overlap=overlap)
