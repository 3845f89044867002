"""Time the multirate block against the study's literal block, an unfolded cascade, and a copy of the tensor.

    python benchmarks/multirate.py

All arms have the same weights and hyperparameters. Before anything is timed, their outputs, and their gradients of
the input and of every weight, are compared with those of the literal block in float64; if one differs by more than
the tolerance, nothing is timed. "forward" runs without gradients; "forward + backward" makes all of them, which are
set to None before every call.
"""

import argparse
import copy
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import openmp_policy  # noqa: F401  # before torch, which reads what it sets
import torch
from comparison import DisagreementError, deviations, forward, measure, worst
from harness import MIB, Timing, add_options, add_torch_options, facts, print_facts, save, table
from multirate_arms import Copy, Literal, ShiftAndAdd, Unfolded, gradients
from torch import Tensor, nn

from dsptorch import Multirate

# The largest difference from the reference, relative to its largest entry. The gradients are float32 sums over
# batch and time, those of the two hyperparameters over everything.
TOLERANCE = {"output": 2e-6, "gradient": 2e-5}
CASCADE, OURS = "shift-and-add, compiled", "ours, compiled"
RIVALS = {  # and the heading of the column that says how many times faster than it an arm is
    "literal": "x literal",
    "literal, compiled": "x literal compiled",
    CASCADE: "x shift-and-add compiled",
}


def perturbed(layer: Multirate) -> Multirate:
    """Add noise to the taps: a delta or a symmetric filter would hide a reversed one."""
    with torch.no_grad():
        for weight in (layer.low, layer.recon, layer.detail):
            weight.add_(0.1 * torch.randn_like(weight))
    return layer


def build_arms(layer: Multirate) -> dict[str, nn.Module]:
    """Return every arm in eager, by name, with the weights of `layer`."""
    return {
        "copy": Copy(),
        "literal": Literal(layer),
        "shift-and-add": ShiftAndAdd(layer),
        "ours": copy.deepcopy(layer),
        "ours unfolded": Unfolded(layer),
    }


def compiled(arms: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """Return the arms that are timed: some in eager, all but the copy compiled."""
    timed: dict[str, nn.Module] = {}
    for name, arm in arms.items():
        if name in ("copy", "literal", "ours"):
            timed[name] = arm
        if name != "copy":
            timed[f"{name}, compiled"] = torch.compile(arm, fullgraph=True)  # type: ignore[assignment]
    return timed


def check_arms(arms: Mapping[str, nn.Module], x: Tensor, v: Tensor) -> dict[str, dict[str, float]]:
    """Return by how much each arm differs from the literal block in float64, relative to its largest entry.

    Raises:
        DisagreementError: If that is more than `TOLERANCE`, or a gradient is missing.
    """
    reference = gradients(copy.deepcopy(arms["literal"]).double(), x.double(), v.double())
    errors: dict[str, dict[str, float]] = {}
    for arm, module in arms.items():
        if arm == "copy":
            continue
        found = gradients(module, x, v)
        if found.keys() != reference.keys():
            raise DisagreementError(f"{arm} has {sorted(found)}, the literal block has {sorted(reference)}")
        errors[arm] = deviations(arm, found, reference, TOLERANCE)
    return errors


def both_modes(
    arms: Mapping[str, nn.Module], x: Tensor, v: Tensor
) -> dict[str, dict[str, Callable[[], Any]]]:
    """Return what is timed: for each mode and arm a call that leaves gradients, or nothing, behind."""

    def forward_backward(arm: nn.Module) -> None:
        arm(x).backward(v)

    return {
        "forward": {name: partial(forward, arm, x) for name, arm in arms.items()},
        "forward + backward": {name: partial(forward_backward, arm) for name, arm in arms.items()},
    }


def report(timings: Mapping[str, Timing], peaks: Mapping[str, int]) -> str:
    """Return the table of one mode: milliseconds, how much faster than the rivals, and memory."""
    rows = []
    for name, timing in timings.items():
        ratio = {rival: timings[rival].median / timing.median for rival in ("copy", *RIVALS)}
        cells = [f"{1 / ratio['copy']:.2f}", *(f"{ratio[rival]:.2f}" for rival in RIVALS)]
        rows.append([name, str(timing), *cells, f"{peaks[name] / MIB:.1f}"])
    head = ["arm", "median ms (quartiles)", "times the copy", *RIVALS.values(), "peak MiB"]
    return table(head, rows)


def main() -> None:
    """Check, time and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--batch", type=int, default=8, help="(default: %(default)s)")
    parser.add_argument("--time", type=int, default=512, help="samples (default: %(default)s)")
    parser.add_argument("--d-model", type=int, default=256, help="channels (default: %(default)s)")
    parser.add_argument("--downsample", type=int, default=2, help="(default: %(default)s)")
    parser.add_argument("--kernel-size", type=int, default=4, help="taps (default: %(default)s)")
    add_options(parser, "multirate", repeats=60)
    add_torch_options(parser)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    known = facts(options.device)
    print_facts(known)

    layer = perturbed(Multirate(options.d_model, options.downsample, kernel_size=options.kernel_size))
    arms = compiled(build_arms(layer.to(options.device)))
    shape = (options.batch, options.time, options.d_model)
    x, v = torch.randn(shape, device=options.device), torch.randn(shape, device=options.device)
    try:
        errors = check_arms(arms, x, v)
    except DisagreementError as error:
        sys.exit(f"Nothing was timed, because the arms do not agree. {error}")
    print(
        f"All arms agree with the literal block in float64, to {worst(errors):.0e} of the largest entry, in the"
    )
    print(f"output and in the gradients of the input and of every weight (tolerances: {TOLERANCE}).")

    x.requires_grad_()
    result: dict[str, Any] = {
        "facts": known,
        "options": vars(options),
        "errors": errors,
        "tolerance": TOLERANCE,
    }
    for mode, calls in both_modes(arms, x, v).items():
        timings, peaks = measure(calls, x, arms, options.repeats)
        print(f"\n{mode}, float32, batch {options.batch}, time {options.time}, d_model {options.d_model}\n")
        print(report(timings, peaks))
        gain = timings[CASCADE].median / timings[OURS].median
        print(
            f"\nFolding is worth {gain:.2f}x: ours compiled against the compiled cascade that is not folded."
        )
        result[mode] = {"milliseconds": timings, "peak bytes": peaks}
    print("\nPeak memory: what torch's allocator holds above the inputs; not the scratch space of oneDNN.")
    save(options.output, result)


if __name__ == "__main__":
    main()
