"""Recipes and benchmarks choose how OpenMP waits before torch starts, where the user has not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = [
    *(ROOT / "recipes").glob("*.py"),
    *(p for p in (ROOT / "benchmarks").glob("*.py") if '__name__ == "__main__"' in p.read_text()),
    ROOT / "benchmarks" / "harness.py",
]
# Starts a script, and where it first imports torch prints the policy, as the runtime would read it, and ends.
UNTIL_TORCH = """
import os, runpy, sys

class Finder:
    def find_spec(name, path=None, target=None):
        if name == "torch":
            os.system('echo "policy: $OMP_WAIT_POLICY"')
            os._exit(0)

sys.meta_path.insert(0, Finder)
sys.path.insert(0, os.path.dirname(sys.argv[1]))
runpy.run_path(sys.argv[1], run_name="__main__")
"""
CHOICES = {
    "OMP_WAIT_POLICY": "ACTIVE",
    "OMP_NUM_THREADS": "1",
    "GOMP_SPINCOUNT": "1000",
    "KMP_BLOCKTIME": "200",
}


def policy(script: Path, **chosen: str) -> str:
    """The policy in the environment when torch is imported, as a child process of the script sees it."""
    environment = {name: value for name, value in os.environ.items() if name not in CHOICES}
    run = subprocess.run(
        [sys.executable, "-c", UNTIL_TORCH, script],
        env=environment | {"PYTHONPATH": str(ROOT)} | chosen,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert run.stdout.startswith("policy: "), f"torch was not imported: {run.stdout}{run.stderr}"
    return run.stdout.removeprefix("policy: ").strip()


@pytest.mark.parametrize("script", [s for s in SCRIPTS if s.stem != "openmp"], ids=lambda script: script.stem)
def test_threads_that_wait_sleep(script: Path) -> None:
    assert policy(script) == "PASSIVE"


@pytest.mark.parametrize("script", ["recipes/gpt_enwik8.py", "benchmarks/multirate.py"])
@pytest.mark.parametrize("name", CHOICES)
def test_the_choice_of_the_user_stands(script: str, name: str) -> None:
    chosen = {name: CHOICES[name]}
    assert policy(ROOT / script, **chosen) == chosen.get("OMP_WAIT_POLICY", "")


def test_a_script_that_imports_torch_first_is_caught(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"import sys, torch\nsys.path.append({str(ROOT / 'recipes')!r})\nimport openmp\n")
    assert policy(script) == ""


def test_both_modules_do_the_same() -> None:
    recipes, benchmarks = ROOT / "recipes" / "openmp.py", ROOT / "benchmarks" / "openmp_policy.py"
    assert recipes.read_text() == benchmarks.read_text()


def test_the_library_chooses_nothing() -> None:
    code = "import os; before = dict(os.environ); import dsptorch; print(dict(os.environ) == before)"
    environment = {name: value for name, value in os.environ.items() if name not in CHOICES}
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "True"
