"""torchaudio as an oracle: convolution and recursive filters by other people. See tests/install_torchaudio.sh."""

import pytest
import torch

from dsptorch import FIR, PeriodicFIR

try:
    from torchaudio import functional
except (ImportError, OSError) as error:  # not there, or linked against a CUDA that is not
    pytest.skip(f"torchaudio: {error}; run tests/install_torchaudio.sh", allow_module_level=True)


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def check_convolution(apply):
    x, taps = draw(2, 30, 3), draw(5, 3)
    rows = functional.convolve(x.transpose(1, 2), taps.T.expand(2, 3, 5), mode="full")  # (B, C, T + K - 1)
    torch.testing.assert_close(apply(taps, x), rows[..., :30].transpose(1, 2))


def test_a_filter_is_a_convolution():
    check_convolution(lambda taps, x: PeriodicFIR.fir(taps)(x))
    check_convolution(lambda taps, x: FIR(3, 5, init=taps, dtype=torch.float64)(x))


def test_the_layer_is_its_lfilter():
    x, taps = draw(1, 40, 1), draw(6)
    silence = torch.zeros(6, dtype=torch.float64)
    one = torch.cat((torch.ones(1, dtype=torch.float64), silence[1:]))
    expected = functional.lfilter(x[..., 0], one, taps, clamp=False)
    torch.testing.assert_close(FIR(1, 6, init=taps[:, None], dtype=torch.float64)(x)[..., 0], expected)


def test_another_filter_is_caught():
    with pytest.raises(AssertionError):
        check_convolution(lambda taps, x: PeriodicFIR.fir(taps.flip(0))(x))
    with pytest.raises(AssertionError):
        check_convolution(lambda taps, x: PeriodicFIR.fir(taps).delay(1)(x))


def test_a_response_is_that_of_its_filter():
    """A biquad cut off after its impulse response has died away is an FIR like any other."""
    impulse = torch.zeros(1, 400, dtype=torch.float64)
    impulse[0, 0] = 1.0
    taps = functional.lowpass_biquad(impulse, 1000, 100.0)[0]
    x = 0.1 * draw(1, 300, 1)
    expected = functional.lowpass_biquad(x[..., 0], 1000, 100.0)
    torch.testing.assert_close(PeriodicFIR.fir(taps[:, None])(x)[..., 0], expected)
