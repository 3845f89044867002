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


def seconds_of_import() -> float:
    code = (
        "import time, torch; start = time.perf_counter(); import dsptorch; print(time.perf_counter() - start)"
    )
    return float(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    )


@pytest.mark.slow
def test_import_is_quick():
    assert min(seconds_of_import() for _ in range(3)) <= 0.2
