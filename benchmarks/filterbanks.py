"""Time the analysis of a filterbank against ptwt, PyWavelets, scipy, unfold + matmul, conv1d, a loop and a copy.

    python benchmarks/filterbanks.py

Three banks: two bands of a wide signal, 32 bands of a narrow one, 8 bands of a wide one. All arms of a bank have the
same filters. Before anything is timed, their outputs, and their gradients of the input and of every tap (of every
angle, for the layer) where an arm has any, are compared with those of the definition in float64; if one differs by
more than the tolerance, nothing is timed. "forward" runs without gradients; "forward + backward" makes all of them,
and leaves out scipy and PyWavelets, which make none. ptwt and PyWavelets are arms where they are installed: `pip
install ptwt`.
"""

import argparse
import copy
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import openmp_policy  # noqa: F401  # before torch, which reads what it sets
import torch
from comparison import DisagreementError, deviations, forward, measure, worst
from filterbanks_arms import (
    HAS_PTWT,
    HAS_PYWT,
    Conv,
    Copy,
    LayerArm,
    Loop,
    Ours,
    Ptwt,
    Pywt,
    Scipy,
    Unfold,
    by_definition,
    cotangents,
    side_by_side,
)
from harness import MIB, Timing, add_options, add_torch_options, facts, print_facts, save, table
from torch import Tensor, nn

from dsptorch import FilterBank

TOLERANCE = {"output": 2e-6, "gradient": 1e-4}  # of the largest entry; a tap sums up half a million products
RIVALS = ("ptwt", "unfold + matmul", "unfold + matmul, compiled")


class Case(NamedTuple):
    """A signal and a bank."""

    batch: int
    time: int
    d_model: int
    num_bands: int
    kind: str
    left_out: tuple[str, ...] = ()


CASES = {
    "two bands": Case(8, 512, 256, 2, "lattice"),
    "narrow": Case(8, 16000, 1, 32, "cosine"),
    # PyTorch 2.13, compiled, adds up the gradients of overlapping windows of several channels in its threads without a
    # lock: the gradient of the input is wrong with two threads, and right with one.
    "wide": Case(8, 512, 256, 8, "cosine", left_out=("unfold + matmul, compiled",)),
}


def build_arms(case: Case, device: torch.device) -> dict[str, nn.Module]:
    """Return every arm in eager, by name, with the filters of one bank."""
    bank = FilterBank(case.d_model, case.num_bands, case.kind, device=device)
    with torch.no_grad():
        for parameter in bank.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    taps = bank.matrix().detach()
    arms: dict[str, nn.Module] = {"copy": Copy()}
    if HAS_PTWT and case.num_bands == 2:
        arms["ptwt"] = Ptwt(taps, bank.stride)
    if device.type == "cpu":
        if HAS_PYWT and case.num_bands == 2:
            arms["pywt"] = Pywt(taps, bank.stride)
        arms["scipy"] = Scipy(taps, bank.stride)
    arms["python loop"] = Loop(taps, bank.stride)
    arms["unfold + matmul"] = Unfold(taps, bank.stride)
    arms["conv1d"] = Conv(taps, bank.stride)
    arms["ours"] = Ours(taps, bank.stride)
    arms["ours, layer"] = LayerArm(bank)
    return arms


def with_compiled(arms: Mapping[str, nn.Module], left_out: Sequence[str] = ()) -> dict[str, nn.Module]:
    """Return the arms, and all but the copy and ptwt compiled as well, without those that are left out."""
    both = dict(arms)
    for name in ("unfold + matmul", "conv1d", "ours", "ours, layer"):
        both[f"{name}, compiled"] = torch.compile(copy.deepcopy(arms[name]), fullgraph=True)  # type: ignore[assignment]
    return {name: arm for name, arm in both.items() if name not in left_out}


def expected(x: Tensor, v: Tensor, bank: FilterBank, phase: int) -> dict[str, Tensor]:
    """Return the output, and the gradients of sum(v * output), in float64, by definition."""
    bank, x = copy.deepcopy(bank).double(), x.detach().double().requires_grad_()
    taps = bank.matrix()
    taps.retain_grad()
    y = by_definition(x, taps, bank.stride, phase)
    y.backward(v.double())
    found = {"output": y, "x": x.grad, "taps": taps.grad}
    found |= {f"bank.{name}": parameter.grad for name, parameter in bank.named_parameters()}
    return {name: tensor.detach() for name, tensor in found.items() if tensor is not None}


def check_arms(arms: Mapping[str, nn.Module], x: Tensor, v: Tensor) -> dict[str, dict[str, float]]:
    """Return by how much each arm differs from the definition in float64, relative to the largest entry.

    Raises:
        DisagreementError: If that is more than `TOLERANCE`.
    """
    layer = arms["ours, layer"]
    assert isinstance(layer, LayerArm)
    errors: dict[str, dict[str, float]] = {}
    for name, arm in arms.items():
        if name == "copy":
            continue
        inner: Any = getattr(arm, "_orig_mod", arm)  # torch.compile wraps the module
        reference = expected(x, v, layer.bank, inner.phase)
        x = x.detach().requires_grad_()
        arm.zero_grad()
        outputs = arm(x)
        found = {"output": side_by_side(outputs, v.shape[1], v.shape[2])}
        if inner.differentiable:
            torch.autograd.backward(outputs, cotangents(v, outputs))
            found |= {"x": x.grad} | {key: parameter.grad for key, parameter in inner.named_parameters()}
        errors[name] = deviations(name, found, reference, TOLERANCE)
    return errors


def both_modes(
    arms: Mapping[str, nn.Module], x: Tensor, v: Tensor
) -> dict[str, dict[str, Callable[[], Any]]]:
    """Return what is timed: for each mode and arm a call that leaves gradients, or nothing, behind."""

    def forward_backward(arm: nn.Module, gradients: list[Tensor]) -> None:
        torch.autograd.backward(arm(x), gradients)

    backward: dict[str, Callable[[], Any]] = {}
    for name, arm in arms.items():
        if not getattr(arm, "_orig_mod", arm).differentiable:
            continue
        outputs = arm(x)
        gradients = [torch.ones_like(outputs[0])] if name == "copy" else cotangents(v, outputs)
        backward[name] = partial(forward_backward, arm, gradients)
    return {
        "forward": {name: partial(forward, arm, x) for name, arm in arms.items()},
        "forward + backward": backward,
    }


def report(timings: Mapping[str, Timing], peaks: Mapping[str, int]) -> str:
    """Return the table of one mode: milliseconds, how much faster than the rivals, and memory."""
    rivals = [rival for rival in RIVALS if rival in timings]
    rows = []
    for name, timing in timings.items():
        ratios = [f"{timings[rival].median / timing.median:.2f}" for rival in rivals]
        copies = f"{timing.median / timings['copy'].median:.2f}"
        rows.append([name, str(timing), copies, *ratios, f"{peaks[name] / MIB:.1f}"])
    head = ["arm", "median ms (quartiles)", "times the copy", *(f"x {rival}" for rival in rivals), "peak MiB"]
    return table(head, rows)


def run(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Check and time one case."""
    case = CASES[name]
    torch._dynamo.reset()
    arms = with_compiled(build_arms(case, options.device), case.left_out)
    layer = arms["ours, layer"]
    assert isinstance(layer, LayerArm)
    x = torch.randn(case.batch, case.time, case.d_model, device=options.device)
    frames = -(-case.time // layer.bank.stride)
    v = torch.randn(case.batch, case.num_bands, frames, case.d_model, device=options.device)
    errors = check_arms(arms, x, v)
    print(f"\n{name}: {case}, {layer.bank.numtaps} taps. All arms agree with float64 to {worst(errors):.0e}.")
    x.requires_grad_()

    result: dict[str, Any] = {"case": case._asdict(), "numtaps": layer.bank.numtaps, "errors": errors}
    for mode, calls in both_modes(arms, x, v).items():
        timings, peaks = measure(calls, x, arms, options.repeats)
        print(f"\n{mode}, float32\n\n{report(timings, peaks)}", flush=True)
        result[mode] = {"milliseconds": timings, "peak bytes": peaks}
    return result


def main() -> None:
    """Check, time and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), help="(default: all)")
    add_options(parser, "filterbanks", repeats=60)
    add_torch_options(parser)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    known = facts(options.device)
    print_facts(known)
    if not HAS_PTWT:
        print("ptwt is not installed, and no arm.")
    result: dict[str, Any] = {"facts": known, "options": vars(options), "tolerance": TOLERANCE}
    try:
        for name in options.cases:
            result[name] = run(name, options)
    except DisagreementError as error:
        sys.exit(f"Nothing was timed, because the arms do not agree. {error}")
    print("\nPeak memory: what torch's allocator holds above the inputs; not the scratch space of oneDNN.")
    save(options.output, result)


if __name__ == "__main__":
    main()
