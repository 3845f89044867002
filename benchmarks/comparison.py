"""Arms that do the same: they are compared before they are timed, forward, and forward with all gradients.

The numbers of a benchmark mean something only if its arms compute the same. So every benchmark of layers compares each
arm's output and gradients with those of a definition in float64, and times nothing if one differs.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import openmp_policy  # noqa: F401  # before torch, which reads what it sets
import torch
from harness import Timing, peak_memory, round_robin
from torch import Tensor, nn


class DisagreementError(Exception):
    """The arms do not compute the same."""


class Measured(NamedTuple):
    """What one mode of a benchmark took, by arm."""

    milliseconds: dict[str, Timing]
    peak_bytes: dict[str, int]


def deviations(
    arm: str, found: Mapping[str, Tensor], expected: Mapping[str, Tensor], tolerance: Mapping[str, float]
) -> dict[str, float]:
    """Return by how much each tensor of an arm is off, relative to the largest entry of the expected one.

    Args:
        arm: Its name, for messages.
        found: "output", and gradients by name.
        expected: The same in float64; it may hold more.
        tolerance: The most that is allowed, of the "output" and of a "gradient".

    Raises:
        DisagreementError: If one is off by more.
    """
    errors: dict[str, float] = {}
    for name, tensor in found.items():
        exact = expected[name]
        errors[name] = ((tensor.double() - exact).abs().max() / exact.abs().max()).item()
        limit = tolerance["output" if name == "output" else "gradient"]
        if not errors[name] <= limit:
            raise DisagreementError(
                f"{arm}: {name} is off by {errors[name]:.1e} of its largest entry, over {limit:.0e}"
            )
    return errors


def worst(errors: Mapping[str, Mapping[str, float]]) -> float:
    """Return the largest deviation of all arms."""
    return max(error for arm in errors.values() for error in arm.values())


def forward(arm: nn.Module, x: Tensor) -> None:
    """Run an arm without gradients."""
    with torch.no_grad():
        arm(x)


def measure(
    calls: Mapping[str, Callable[[], Any]],
    x: Tensor,
    arms: Mapping[str, nn.Module],
    repeats: int,
) -> Measured:
    """Time the calls of one mode in turns, and find the peak memory of each; before each, all gradients are None."""

    def clear() -> None:
        x.grad = None
        for arm in arms.values():
            arm.zero_grad(set_to_none=True)

    round_robin(calls, 2, x.device, before=clear)  # compiles and warms up
    timings = round_robin(calls, repeats, x.device, before=clear)
    peaks = {}
    for name, call in calls.items():
        clear()
        peaks[name] = peak_memory(call, x.device)
    return Measured(timings, peaks)
