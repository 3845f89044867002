"""Triton's interpreter runs the kernels on the CPU where TRITON_INTERPRET=1; on a CUDA device they run as they are."""

import os
from importlib.util import find_spec

import pytest
import torch

from dsptorch.functional.gpu import choice

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> str:
    """A device on which the kernels run, for this test."""
    if find_spec("triton") is None:
        pytest.skip("triton is not installed; pip install 'dsptorch[triton]'")
    if INTERPRETED:
        monkeypatch.setattr(choice, "DEVICES", {"cpu", "cuda"})
        return "cpu"
    if not torch.cuda.is_available():
        pytest.skip("there is neither a CUDA device nor TRITON_INTERPRET=1")
    return "cuda"
