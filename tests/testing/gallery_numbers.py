"""The gallery of broken filters: gain, energy, reconstruction, linearity, bounds."""

import torch
import torch.nn.functional as F
from torch import nn

from dsptorch import FIR
from dsptorch.testing import (
    assert_bounded,
    assert_energy_preserving,
    assert_identity,
    assert_linear,
    assert_perfect_reconstruction,
    assert_unit_dc,
)
from tests.testing.broken_layers import (
    TIME,
    WIDTH,
    haar,
    lowpass,
    multirate,
    one_pole,
    sampled,
    unhaar,
)
from tests.testing.bug import Bug, on

NUMBERS: dict[str, Bug] = {
    "a nonlinearity": Bug(on(assert_linear), torch.nn.GELU, multirate, r"a = 1 and b = 1"),
    "a threshold that only the loud meets": Bug(
        on(assert_linear), lambda: lambda x: x.clamp(-100, 100), multirate, "a = 1000"
    ),
    "a dead zone that only the quiet meets": Bug(
        on(assert_linear), lambda: lambda x: x.where(x.abs() > 1e-4, 0), multirate, "a = 0.001|a = 1"
    ),
    "a bias": Bug(on(assert_linear), lambda: lambda x: x + 1e-3, multirate, "the output of silence is 0.001"),
    "a pole on the unit circle": Bug(
        on(assert_bounded), lambda: one_pole(1.0), lambda: one_pole(0.9), "over 24 it is 24"
    ),
    "a pole outside": Bug(
        on(assert_bounded), lambda: one_pole(-1.1), lambda: one_pole(-0.9), "no end in sight"
    ),
    "a gain above the bound": Bug(
        on(assert_bounded, 2.0), lambda: one_pole(0.6), lambda: one_pole(0.49), "not bounded by 2"
    ),
    "a limiter taken for a filter": Bug(
        on(assert_bounded),
        lambda: lambda x: one_pole(0.5)(x).clamp(-1, 1),
        lambda: one_pole(0.5),
        "not linear",
    ),
    "a gain at DC that is not 1": Bug(
        on(assert_unit_dc), lambda: FIR(WIDTH, 2, init=torch.full((2, WIDTH), 0.51)), lowpass, r"it is 1.02"
    ),
    "a gain at DC that is not 1 at one phase": Bug(
        on(assert_unit_dc),
        lambda: lambda x: x * (1 + 1e-3 * (torch.arange(TIME) % 8 == 7)).unsqueeze(-1),
        lambda: sampled(4),
        "time (15|23)",
    ),
    "an identity that is late": Bug(
        on(assert_identity),
        lambda: lambda x: F.pad(x, (0, 0, 2, 0))[:, :TIME],
        nn.Identity,
        "late by 2, times 1$",
    ),
    "an identity to rounding alone": Bug(
        on(assert_identity, exact=True),
        lambda: lambda x: x * 3 / 3 + 1e-17 + x * 1e-15,
        nn.Identity,
        "as rounding is",
    ),
    "a synthesis with a wrong sign": Bug(
        on(assert_perfect_reconstruction),
        lambda: (haar, lambda bands: unhaar(bands, -1.0)),
        lambda: (haar, unhaar),
        "no perfect reconstruction.* dB above",
    ),
    "a reconstruction that is later than it says": Bug(
        on(assert_perfect_reconstruction, delay=1),
        lambda: lambda x: 0.5 * F.pad(x, (0, 0, 3, 0)),
        lambda: lambda x: F.pad(x, (0, 0, 1, 0)),
        "late by 3, times 0.5",
    ),
    "a bank that loses energy": Bug(
        on(assert_energy_preserving),
        lambda: lambda x: [b / 2**0.5 for b in haar(x)],
        lambda: haar,
        "0.5 times as much",
    ),
    "a low-pass taken for an all-pass": Bug(
        on(assert_energy_preserving),
        lowpass,
        lambda: lambda x: F.pad(x, (0, 0, 5, 0)),
        "energy is not kept: row",
    ),
}
