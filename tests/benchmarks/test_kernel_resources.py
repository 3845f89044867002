"""The committed table of registers, spills and shared memory is what the compiler says today."""

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "benchmarks" / "results" / "kernel_resources.json"
SPILLED = 16  # bytes a thread, at most


def check_committed(committed: dict[str, Any], kernels: set[str]) -> None:
    """Every kernel is in the table, for both targets, and next to nothing is spilled."""
    assert {key.partition(": ")[0] for key in committed["kernels"]} == kernels
    for key, row in committed["kernels"].items():
        assert set(row) == {"sm_80", "sm_90"}, key
        for target in row.values():
            assert 0 < target["registers"] <= 255, key
            assert target["spilled bytes"] <= SPILLED, key
            assert target["shared bytes"] <= 96 * 2**10, key


def kernels() -> set[str]:
    """The names of all kernels, by their source."""
    folder = ROOT / "dsptorch" / "functional" / "gpu" / "kernels"
    return {
        name
        for path in folder.glob("*.py")
        for name in re.findall(r"^def (\w+_kernel)\(", path.read_text(), re.M)
    }


def test_every_kernel_is_in_the_table():
    committed = json.loads(COMMITTED.read_text())
    check_committed(committed, kernels())
    assert f"triton=={committed['triton']}\n" in (ROOT / "constraints.txt").read_text()


@pytest.mark.parametrize(
    ("name", "value"), [("spilled bytes", 4096), ("registers", 0), ("shared bytes", 2**20)]
)
def test_a_kernel_that_does_not_fit_is_caught(name, value):
    committed = json.loads(COMMITTED.read_text())
    next(iter(committed["kernels"].values()))["sm_90"][name] = value
    with pytest.raises(AssertionError):
        check_committed(committed, kernels())


def test_a_kernel_that_is_left_out_is_caught():
    committed = json.loads(COMMITTED.read_text())
    committed["kernels"].popitem()
    with pytest.raises(AssertionError):
        check_committed(committed, {*kernels(), "another_kernel"})


def run(tmp_path: Path, *arguments: str) -> None:
    """Run Python where Triton compiles."""
    if find_spec("triton") is None:
        pytest.skip("triton is not installed; pip install 'dsptorch[triton]'")
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    paths = [str(ROOT), str(ROOT / "benchmarks"), *sys.path]
    environment |= {"TRITON_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": os.pathsep.join(paths)}
    ended = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]


SIZES_OF_ONE = """
from kernel_resources import compiling
import torch
from dsptorch.functional.gpu import recurrence as sizes, runs
from dsptorch.functional.gpu.frames import rate_correlation, rate_filter
from dsptorch.functional.gpu.periodic import periodic_correlation, periodic_filter
from dsptorch.functional.gpu.recurrence import gradients, recurrence

x, four, mark = torch.ones(1, 1, 1), torch.ones(1, 1, 1, 1), torch.zeros(1, 1, dtype=torch.int64)
with compiling(90) as compiled:
    for masks, runs.FEWEST in (((None, None), 8), ((None, None), 1), ((mark, mark), 1)):
        for history in (0, 1):
            for adjoint in (False, True):
                periodic_filter(x, four, [1], history, 1, *masks, adjoint)
            periodic_correlation(x, x, [1], history, 1, False, *masks)
    for position, runs.FEWEST in ((None, 8), (None, 1), (mark, 1)):
        for numbers in ([1, 1, 0, 0], [1, 1, 1, 1], [1, 2, 1, -1]):
            for adjoint in (False, True):
                rate_filter(four, four, position, numbers, 1, adjoint)
            rate_correlation(four, four, position, numbers, 1, True)
    for begins in (None, mark.bool()):
        for a in (four, torch.ones(1, 1, 1, 1, 1, 1)):
            for reverse in (False, True):
                recurrence(four, a, x, begins, reverse, torch.ones(1), True)
        gradients(four, four, x, begins, False, torch.ones(1), four, four, four.dtype)
        for n in (1, 2):
            u, state = torch.ones(1, 2, n, 1), torch.ones(1, n, 1) if n == 2 else None
            mark = None if begins is None else torch.zeros(1, 2).bool()
            for a in (torch.ones(3 - n, n, n, 1), torch.ones(1, 2, 3 - n, n, n, 1)):
                for sizes.WHOLE in (1, 256):
                    recurrence(u, a, state, mark, False, torch.ones(1), False)
names = {kernel.metadata.name for kernel in compiled}
assert len(names) == 9, names
"""


LOADED_AHEAD = """
from kernel_resources import CASES, compiling
from dsptorch.functional.gpu import recurrence

def ahead():
    # The samples that a thread has asked for when it stores its first result; the last kernel reads the whole signal.
    with compiling(90) as compiled:
        CASES["a number a channel, bf16"]()
    code = compiled[-1].asm["ptx"]
    assert "shfl" not in code and ".shared" not in code, "a thread takes part in the work of another"
    return code[: code.index("st.global")].count("ld.global.v2")

assert ahead() >= 16, ahead()
recurrence.LOADED = 1  # planted
assert ahead() < 4, ahead()
"""


def test_a_recurrence_waits_for_many_samples_at_once(tmp_path):
    run(tmp_path, "-c", LOADED_AHEAD)


def test_sizes_of_one_compile(tmp_path):
    """A size of 1 is a constant to the compiler, and has a program of its own."""
    run(tmp_path, "-c", SIZES_OF_ONE)


@pytest.mark.parametrize("capability", [80, 90])
def test_the_table_is_what_the_compiler_says(tmp_path, capability):
    committed = json.loads(COMMITTED.read_text())
    output = str(tmp_path / "found.json")
    run(tmp_path, "benchmarks/kernel_resources.py", "--output", output, "--capabilities", str(capability))
    found = json.loads((tmp_path / "found.json").read_text())
    if found["triton"] != committed["triton"]:
        pytest.skip(f"the table is of Triton {committed['triton']}, not {found['triton']}")
    name = f"sm_{capability}"
    expected = {key: {name: row[name]} for key, row in committed["kernels"].items()}
    assert found["kernels"] == expected, "run python benchmarks/kernel_resources.py, and look at what changed"


def test_the_table_holds_the_numbers(tmp_path):
    script = f"""
import json
from pathlib import Path

from kernel_resources import table

path = Path({str(COMMITTED)!r})
assert table(json.loads(path.read_text())) == path.with_suffix(".md").read_text()
"""
    run(tmp_path, "-c", script)
