"""Compile every Triton kernel ahead of time for sm_80 and sm_90, and say what it takes of a multiprocessor.

No GPU is needed: the operators are called on the CPU as a layer calls them, and each launch is compiled by Triton, with
the specialization that it would have, in place of running.
"""

import argparse
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.pop("TRITON_INTERPRET", None)  # before triton is imported, which would interpret the kernels

import openmp_policy  # noqa: F401  # before torch, which reads what it sets
import torch
import triton
from kernel_cases import CASES
from triton.backends.compiler import GPUTarget
from triton.runtime.driver import driver
from triton.runtime.jit import JITFunction

RESULTS = Path(__file__).parent / "results"
CAPABILITIES = (80, 90)


class _Absent:
    """A driver of a device that is not there."""

    def __init__(self, capability: int) -> None:
        self.capability = capability

    def get_current_device(self) -> int:
        return self.capability  # kernels are kept by device

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", self.capability, 32)


@contextmanager
def compiling(capability: int) -> Iterator[list[Any]]:
    """Collect the kernels that are launched, compiled and not run."""
    compiled: list[Any] = []
    run = JITFunction.run

    def compile_only(self: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> Any:
        compiled.append(run(self, *args, grid=grid, warmup=True, **kwargs))
        return compiled[-1]

    with mock.patch.object(JITFunction, "run", compile_only):
        driver.set_active(_Absent(capability))
        try:
            yield compiled
        finally:
            driver._active = None


def resources(kernel: Any, capability: int) -> dict[str, int]:
    """Registers and spilled bytes a thread, bytes of shared memory and threads a program, and the longest loop."""
    ptxas = triton.knobs.nvidia.ptxas.path
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "kernel.ptx"
        source.write_text(kernel.asm["ptx"])
        command = [
            ptxas,
            "-v",
            f"--gpu-name=sm_{capability}{'a' * (capability >= 90)}",
            str(source),
            "-o",
            os.devnull,
        ]
        report = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    spills = [int(n) for n in re.findall(r"(\d+) bytes spill", report)]
    return {
        "registers": max(int(n) for n in re.findall(r"Used (\d+) registers", report)),
        "spilled bytes": sum(spills),
        "shared bytes": kernel.metadata.shared,
        "loop": longest_loop(kernel.asm["cubin"]),
        "threads": 32 * kernel.metadata.num_warps,
    }


def longest_loop(cubin: bytes) -> int:
    """The instructions of the longest loop within which there is no other, by the disassembler; 0 without a loop."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [triton.knobs.nvidia.cuobjdump.path, "-sass", file.name]
        listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = [(int(at, 16), code) for at, code in re.findall(r"/\*([0-9a-f]{4,5})\*/\s+(.*?);", listing)]
    jumps = [(at, re.search(r"BRA\b.*?0x([0-9a-f]+)", code)) for at, code in lines]
    loops = [(int(to[1], 16), at) for at, to in jumps if to is not None and int(to[1], 16) < at]
    inner = [(a, b) for a, b in loops if not any((a, b) != (c, d) and a <= c and d <= b for c, d in loops)]
    return max((sum(a <= at <= b for at, _ in lines) for a, b in inner), default=0)


def measure(capabilities: Sequence[int]) -> dict[str, Any]:
    """The resources of each kernel of each case, for each target."""
    found: dict[str, Any] = {"triton": triton.__version__, "kernels": {}}
    for name, launch in CASES.items():
        for capability in capabilities:
            with compiling(capability) as compiled, torch.no_grad():
                launch()
            names: list[str] = []
            for kernel in compiled:
                names.append(kernel.metadata.name)
                again = f" ({names.count(names[-1])})" if names.count(names[-1]) > 1 else ""
                row = found["kernels"].setdefault(f"{names[-1]}: {name}{again}", {})
                row[f"sm_{capability}"] = resources(kernel, capability)
    return found


def table(found: dict[str, Any]) -> str:
    """The same as Markdown."""
    targets = next(iter(found["kernels"].values()))
    lines = [
        "Each kernel as it is launched, compiled ahead of time: `python benchmarks/kernel_resources.py`",
        f"(Triton {found['triton']}). Registers and spilled bytes are of a thread, shared memory of a program. The",
        "loop is the longest one within which there is no other, in instructions.",
        "",
        "| kernel | case | threads | "
        + " | ".join(f"{c}: registers, spills, shared, loop" for c in targets)
        + " |",
        "|---|---|---|" + "---|" * len(targets),
    ]
    for key, row in found["kernels"].items():
        kernel, _, case = key.partition(": ")
        cells = [
            f"{r['registers']}, {r['spilled bytes']}, {r['shared bytes']}, {r['loop']}" for r in row.values()
        ]
        lines.append(f"| `{kernel}` | {case} | {next(iter(row.values()))['threads']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--output", type=Path, default=RESULTS / "kernel_resources.json", help="and .md beside it"
    )
    parser.add_argument(
        "--capabilities",
        type=int,
        nargs="+",
        default=CAPABILITIES,
        help="of the targets (default: %(default)s)",
    )
    args = parser.parse_args()
    found = measure(args.capabilities)
    args.output.write_text(json.dumps(found, indent=1) + "\n")
    args.output.with_suffix(".md").write_text(table(found))
    print(table(found))


if __name__ == "__main__":
    main()
