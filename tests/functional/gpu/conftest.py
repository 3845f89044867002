"""Triton's interpreter runs the kernels on the CPU where TRITON_INTERPRET=1; on a CUDA device they run as they are."""

import os
from importlib.util import find_spec

import pytest
import torch

from dsptorch.functional.gpu import choice

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


def _run(item: pytest.Function) -> None:
    item.obj(**{name: item.funcargs[name] for name in item._fixtureinfo.argnames})


# Python keeps its frames in chunks of 16 KiB, and unmaps a chunk when its last frame ends. Where the interpreter's
# innermost calls straddle two chunks, each call maps one and unmaps it: half of the time of these tests. A frame with
# room for 2**17 values has a chunk of megabytes, which holds all frames above it too.
_run.__code__ = _run.__code__.replace(co_stacksize=2**17)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool:
    _run(pyfuncitem)
    return True


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
