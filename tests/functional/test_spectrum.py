"""Spectra of real signals and their energies: PyTorch's numbers, in half of the work of its derivatives."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from dsptorch.functional import spectrum
from dsptorch.functional.powers import fast_length, power_of_two
from dsptorch.functional.spectrum import real_spectrum, squared_magnitude
from dsptorch.testing import assert_close

LENGTHS = [(7, 7), (8, 8), (5, 8), (5, 9), (1, 1), (1, 2)]


def rows(time: int) -> torch.Tensor:
    return torch.randn(2, 3, time, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def energies(x: torch.Tensor, n_fft: int) -> torch.Tensor:
    return squared_magnitude(real_spectrum(x, n_fft))


def by_torch(x: torch.Tensor, n_fft: int) -> torch.Tensor:
    return torch.view_as_real(torch.fft.rfft(x, n_fft)).square().sum(-1)


def fourth_powers(call):
    return lambda row: call(row, 8).square().sum()


@pytest.mark.parametrize(("time", "n_fft"), LENGTHS)
def test_spectra_and_their_derivatives_are_those_of_pytorch(time, n_fft):
    x = rows(time).requires_grad_()
    assert_close(torch.view_as_real(real_spectrum(x, n_fft)), torch.view_as_real(torch.fft.rfft(x, n_fft)))
    assert_close(energies(x, n_fft), by_torch(x, n_fft))
    # Weights of both parts of all frequencies: of 0 and the last one, the imaginary part is 0 and has no derivative.
    weight = torch.randn(2, 3, n_fft // 2 + 1, dtype=torch.complex128)
    (found,) = torch.autograd.grad(real_spectrum(x, n_fft), x, weight)
    (expected,) = torch.autograd.grad(torch.fft.rfft(x, n_fft), x, weight)
    assert_close(found, expected)


@pytest.mark.parametrize(("time", "n_fft"), LENGTHS)
def test_energies_have_derivatives_of_any_order_in_both_directions(time, n_fft):
    x = rows(time).requires_grad_()
    assert gradcheck(energies, (x, n_fft), check_forward_ad=True, check_batched_grad=True)
    assert gradgradcheck(energies, (x, n_fft), check_fwd_over_rev=True, check_batched_grad=True)


def test_transforms_of_functions_see_pytorchs_numbers():
    x, vmap, hessian = rows(5), torch.func.vmap, torch.func.hessian
    assert_close(vmap(lambda row: energies(row, 8), in_dims=1, out_dims=1)(x), by_torch(x, 8))
    found, expected = (vmap(hessian(fourth_powers(f)))(x[0]) for f in (energies, by_torch))
    assert_close(found, expected)


@pytest.mark.parametrize("shape", [(0, 3, 5), (2, 0, 5)])
def test_of_no_rows_there_is_no_spectrum(shape):
    x = torch.zeros(shape, requires_grad=True)
    y = energies(x, 8)
    y.sum().backward()
    assert y.shape == (*shape[:2], 5)
    assert x.grad is not None


def test_the_derivative_is_a_real_transform():
    """The whole point: no complex transform of full length runs, forward or backward."""
    x = rows(5).requires_grad_()
    with torch.profiler.profile() as profile:
        energies(x, 8).sum().backward()
    names = {event.key for event in profile.key_averages()}
    assert "aten::_fft_c2r" in names
    assert "aten::_fft_c2c" not in names


def test_a_wrong_share_of_the_last_frequency_would_be_found(monkeypatch):
    monkeypatch.setattr(
        spectrum, "occurrences", lambda n_fft, like: torch.full((n_fft // 2 + 1,), 2.0)
    )  # planted
    with pytest.raises(AssertionError):
        test_spectra_and_their_derivatives_are_those_of_pytorch(5, 8)


def test_fast_lengths_are_few_times_a_power_of_two():
    fast = sorted({factor * 2**k for factor in (1, 3, 5, 9, 15, 25) for k in range(12)})
    for least in range(1, 1100):
        assert fast_length(least) == next(n for n in fast if n >= least)
        assert fast_length(least) <= power_of_two(least)
        assert fast_length(least) <= 1.25 * least + 1
