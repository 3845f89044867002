"""Time an exponential moving average and a cascade of sections against scipy, a loop, and PyTorch's scan.

    python benchmarks/recurrences.py

All arms of a case have the same parameters. Before anything is timed, their outputs, and their gradients of the input
and of every parameter, are compared with those of the loop in float64; if one differs by more than the tolerance,
nothing is timed. "forward" runs without gradients; "forward + backward" makes all of them, which are set to None before
every call. scipy has no gradients, and stands in the first mode alone.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import openmp_policy  # noqa: F401  # before torch, which reads what it sets
import scipy
import torch
from comparison import DisagreementError, deviations, forward, measure, worst
from harness import MIB, Timing, add_options, add_torch_options, facts, print_facts, save, table
from multirate_arms import Copy, gradients
from recurrences_arms import TORCHAUDIO, ema_arms, reference, sos_arms
from torch import Tensor, nn

# The largest difference from the reference, relative to its largest entry. The gradients of parameters are float32 sums
# over batch and time of products with states that last as long as 64 samples.
TOLERANCE = {"output": 5e-6, "gradient": 5e-5}
WITHOUT_GRADIENTS = ("scipy",)
CASES: dict[str, Callable[[int], dict[str, nn.Module]]] = {"EMA": ema_arms, "SOS": sos_arms}
AIMS = {"scipy": 8.0, "associative_scan": 2.0}  # times faster, forward, that an EMA is to be; and at most
BACKWARD = 8.0  # times its forward, forward + backward


def compiled(arms: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """Return the arms that are timed: all in eager, ours and the scan compiled too, and a copy."""
    timed: dict[str, nn.Module] = {"copy": Copy(), **arms}
    for name in ("associative_scan", "ours"):
        if name in arms:
            timed[f"{name}, compiled"] = torch.compile(arms[name], fullgraph=True)  # type: ignore[assignment]
    return timed


def check_arms(arms: Mapping[str, nn.Module], x: Tensor, v: Tensor) -> dict[str, dict[str, float]]:
    """Return by how much each arm differs from the loop in float64, relative to its largest entry.

    Raises:
        DisagreementError: If that is more than `TOLERANCE`, or a gradient is missing.
    """
    expected = gradients(reference(arms), x.double(), v.double())
    errors: dict[str, dict[str, float]] = {}
    for arm, module in arms.items():
        if arm == "copy":
            continue
        found = {"output": module(x)} if arm in WITHOUT_GRADIENTS else gradients(module, x, v)
        missing = expected.keys() - found.keys() if arm not in WITHOUT_GRADIENTS else set()
        if missing:
            raise DisagreementError(f"{arm} has no {sorted(missing)}")
        errors[arm] = deviations(arm, found, expected, TOLERANCE)
    return errors


def both_modes(
    arms: Mapping[str, nn.Module], x: Tensor, v: Tensor
) -> dict[str, dict[str, Callable[[], Any]]]:
    """Return what is timed: for each mode and arm a call that leaves gradients, or nothing, behind."""

    def forward_backward(arm: nn.Module) -> None:
        arm(x).backward(v)

    learning = {name: arm for name, arm in arms.items() if name not in WITHOUT_GRADIENTS}
    return {
        "forward": {name: partial(forward, arm, x) for name, arm in arms.items()},
        "forward + backward": {name: partial(forward_backward, arm) for name, arm in learning.items()},
    }


def report(timings: Mapping[str, Timing], peaks: Mapping[str, int]) -> str:
    """Return the table of one mode: milliseconds, how much faster than the others ours is, and memory."""
    rows = [
        [
            name,
            str(timing),
            f"{timing.median / timings['copy'].median:.2f}",
            f"{timing.median / timings['ours'].median:.2f}",
            f"{peaks[name] / MIB:.1f}",
        ]
        for name, timing in timings.items()
    ]
    return table(["arm", "median ms (quartiles)", "times the copy", "times ours", "peak MiB"], rows)


def verdicts(milliseconds: Mapping[str, Mapping[str, Timing]]) -> dict[str, float]:
    """Return the ratios that an EMA aims at: the rivals over ours, and forward + backward over forward."""
    forward, both = milliseconds["forward"], milliseconds["forward + backward"]
    found = {f"{rival} / ours, forward": forward[rival].median / forward["ours"].median for rival in AIMS}
    return found | {"forward + backward / forward": both["ours"].median / forward["ours"].median}


def main() -> None:
    """Check, time and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--batch", type=int, default=8, help="(default: %(default)s)")
    parser.add_argument("--time", type=int, default=512, help="samples (default: %(default)s)")
    parser.add_argument("--d-model", type=int, default=256, help="channels (default: %(default)s)")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), help="(default: all)")
    parser.add_argument("--eager", action="store_true", help="leave out what is compiled")
    add_options(parser, "recurrences", repeats=40)
    add_torch_options(parser)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    known = facts(options.device) | {"scipy": scipy.__version__, "torchaudio": TORCHAUDIO}
    print_facts(known)
    shape = (options.batch, options.time, options.d_model)
    result: dict[str, Any] = {"facts": known, "options": vars(options), "tolerance": TOLERANCE}
    for case in options.cases:
        arms: dict[str, nn.Module] = {
            name: arm.to(options.device) for name, arm in CASES[case](options.d_model).items()
        }
        if options.device.type != "cpu":
            arms.pop("scipy")
        arms = {"copy": Copy(), **arms} if options.eager else compiled(arms)
        result[case] = run(case, arms, shape, options)
    if "EMA" in options.cases and options.device.type == "cpu":
        result["aims"] = verdicts(result["EMA"]["milliseconds"])
        print(f"\nAims: {AIMS} times faster, forward; forward + backward at most {BACKWARD:g} times forward.")
        print(", ".join(f"{name}: {value:.1f}" for name, value in result["aims"].items()))
    print("\nPeak memory: what torch's allocator holds above the inputs; not the arrays of scipy.")
    save(options.output, result)


def run(
    case: str, arms: Mapping[str, nn.Module], shape: tuple[int, int, int], options: argparse.Namespace
) -> dict[str, Any]:
    """Check and time one case."""
    x, v = torch.randn(shape, device=options.device), torch.randn(shape, device=options.device)
    try:
        errors = check_arms(arms, x, v)
    except DisagreementError as error:
        sys.exit(f"Nothing was timed, because the arms do not agree. {case}: {error}")
    print(
        f"{case}: all arms agree with the loop in float64, to {worst(errors):.0e} of the largest entry (tolerances:"
    )
    print(f"{TOLERANCE}), in the output and in the gradients of the input and of every parameter.")
    x.requires_grad_()

    milliseconds: dict[str, dict[str, Timing]] = {}
    memory: dict[str, dict[str, int]] = {}
    for mode, calls in both_modes(arms, x, v).items():
        milliseconds[mode], memory[mode] = measure(calls, x, arms, options.repeats)
        print(f"\n{case}, {mode}, float32, batch {shape[0]}, time {shape[1]}, d_model {shape[2]}\n")
        print(report(milliseconds[mode], memory[mode]), flush=True)
    return {"errors": errors, "milliseconds": milliseconds, "peak bytes": memory}


if __name__ == "__main__":
    main()
