"""Check every layer on a GPU, then measure: the filters beside a copy and their peers, and the recipe's GPT.

    python benchmarks/gpu.py

One run of at most eight minutes. What does not fit is left out, and the result says what. With `--dry-run` all of it
runs on the CPU with tiny shapes, in seconds: that is how a machine without a GPU checks the script.
"""

import argparse
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import openmp_policy  # noqa: F401  # before torch, which reads what it sets
import torch
from gpu_bounds import bounds, bounds_table
from gpu_checks import COMPILE, GRAPH, LAYERS, check_all
from gpu_filters import Budget, measure_filters
from gpu_models import configuration, measure_models
from harness import facts, print_facts, save, table

SHAPES = [(8, 2048, 1024), (1, 131072, 1024), (64, 512, 256), (8, 160000, 1)]
TINY = [(2, 12, 4), (2, 30, 1)]
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
MODES = ("forward", "forward + backward")


def filters_table(found: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """One shape and dtype: milliseconds on the wall and of the device, the device's over a copy's, and peak memory."""
    rows = []
    for case, arms in found.items():
        copy = arms.get("copy", {}).get(MODES[0], {}).get("device ms")
        for name, result in arms.items():
            if "error" in result:
                rows.append([f"{case}: {name}", result["error"][:60], "", "", "", "", ""])
                continue
            busy = [result[mode].get("device ms") for mode in MODES]
            cells = [f"{result[mode]['ms']:.4f}" for mode in MODES]
            cells += ["" if ms is None else f"{ms:.4f}" for ms in busy]
            cells.append(f"{busy[0] / copy:.2f}" if copy and busy[0] else "")
            rows.append([f"{case}: {name}", *cells, f"{result[MODES[1]]['peak bytes'] / 2**20:.1f}"])
    both = [f"{mode}, ms{of}" for of in ("", " of the device") for mode in MODES]
    return table(["case: arm", *both, "forward / copy", "peak, MiB"], rows)


def models_table(found: Mapping[str, Mapping[str, float]]) -> str:
    """Milliseconds of a step and of a token, and how much more than the plain model's."""
    rows = []
    for kind, times in found.items():
        plain = times.get("plain")
        for name, ms in times.items():
            rows.append([f"{kind}: {name}", f"{ms:.3f}", f"{100 * (ms / plain - 1):+.1f} %" if plain else ""])
    return table(["what: model", "ms", "over plain"], rows)


def failures(checks: Mapping[str, Mapping[str, str]]) -> list[str]:
    """What did not pass."""
    return [
        f"{layer}, {name}: {outcome}"
        for layer, outcomes in checks.items()
        for name, outcome in outcomes.items()
        if outcome != "passed"
    ]


def main() -> None:
    """Check, measure, report and save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dry-run", action="store_true", help="on the CPU, with tiny shapes")
    parser.add_argument("--minutes", type=float, default=8.0, help="the budget (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=20, help="of every timing (default: %(default)s)")
    parser.add_argument(
        "--output", type=Path, default=Path("runs/benchmarks/gpu.json"), help="JSON, and .md beside"
    )
    options = parser.parse_args()
    dry = options.dry_run
    if not dry and not (torch.cuda.is_available() and find_spec("triton")):
        sys.exit(
            "There is no CUDA device, or no triton: pip install 'dsptorch[triton]'; --dry-run runs on the CPU."
        )
    device = torch.device("cpu" if dry else "cuda")
    budget = Budget(60 * options.minutes)
    torch._dynamo.config.recompile_limit = 64  # one code object serves many layers and shapes
    known = facts(device)
    print_facts(known)
    result: dict[str, Any] = {"facts": known, "options": vars(options)}

    compiling = Budget(0 if dry else 15 * options.minutes)  # a quarter of the time
    result["checks"] = check_all(device, list(LAYERS)[:3] if dry else list(LAYERS), compiling)
    wrong = failures(result["checks"])
    print("\n".join(wrong) or f"{len(result['checks'])} layers passed every check", end="\n\n", flush=True)
    lines = [f"`python benchmarks/gpu.py` on {known['device']}, torch {known['torch']}\n"]
    if any(not line.partition(": ")[0].endswith((COMPILE, GRAPH)) for line in wrong):
        save(options.output, result)
        sys.exit("Nothing was timed: a layer computes something else on this device.")

    result["filters"], repeats = {}, 2 if dry else options.repeats
    for number, shape in enumerate(TINY if dry else SHAPES):
        for name, dtype in DTYPES.items():
            compiles = not dry and number == 0  # compiling takes most of the time
            found = measure_filters(device, shape, dtype, budget, repeats=repeats, compiles=compiles)
            result["filters"][f"{shape}, {name}"] = found
            lines += [f"{shape}, {name}\n", filters_table(found), ""]
            print("\n".join(lines[-3:]), flush=True)
        if number == 0:  # before the other shapes, which are worth less
            config = configuration(small=dry)
            models = measure_models(device, config, budget, repeats=repeats, tokens=8 if dry else 64)
            result["models"] = models
            lines += [f"{config.model}, batch {config.batch_size}, bf16\n", models_table(models), ""]
            print("\n".join(lines[-3:]), flush=True)
    rows = table(["figure", "found", "bound", "verdict"], bounds_table(bounds(result)))
    lines += ["What it must show: the first shape, bf16\n", rows, ""]
    print("\n".join(lines[-3:]), flush=True)
    result["bounds"] = bounds(result)
    result["left out"] = compiling.left_out + budget.left_out
    lines += [f"Left out, for want of time: {len(result['left out'])} checks and measurements."]
    save(options.output, result)
    options.output.with_suffix(".md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
