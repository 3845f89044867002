"""`import dsptorch` brings torch, and nothing that is optional."""

import json
import subprocess
import sys

import pytest

OPTIONAL = (
    "scipy",
    "matplotlib",
    "hypothesis",
    "pytest",
    "lightning",
    "jsonargparse",
    "torchaudio",
    "tensorboard",
    "triton",
)


def loaded_by(statement: str) -> set[str]:
    """The packages that a fresh interpreter has loaded after a statement, and torch alone would not have."""
    code = f"import json, sys, torch; old = set(sys.modules); {statement}; print(json.dumps([*{{*sys.modules}} - old]))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in json.loads(result.stdout.splitlines()[-1])}


def check_light(statement):
    assert not loaded_by(statement) & set(OPTIONAL)


def test_import_needs_nothing_optional():
    check_light("import dsptorch, dsptorch.testing")


def test_an_optional_import_is_caught():
    with pytest.raises(AssertionError):
        check_light("import hypothesis, dsptorch")


def share_of_import() -> float:
    """The time of `import dsptorch` over that of the `import torch` before it, in a fresh interpreter.

    Without the garbage collector, whose one pass over torch's objects takes as long as all of our modules.
    """
    code = (
        "import gc; gc.disable(); "
        "from time import perf_counter as now; start = now(); import torch; middle = now(); import dsptorch; "
        "print((now() - middle) / (middle - start))"
    )
    return float(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    )


@pytest.mark.slow
def test_import_is_quick():
    """About 15 % of torch's own; Dynamo alone, imported by mistake, would be 100 %."""
    assert min(share_of_import() for _ in range(3)) <= 0.25
