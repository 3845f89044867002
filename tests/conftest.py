"""How the suite runs: two processes of one thread each, and as many examples as the hypothesis profile says.

The default profile is quick and the same on every machine; `--thorough` tries ten times as much.
"""

import gc
import os

# Before torch is imported, which reads them once. Tiny tensors gain nothing from threads, and two processes whose
# threads spin for each other's cores lose much. Whoever sets the variables has their way.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
import torch
from hypothesis import HealthCheck, register_random, settings

WORKERS = 2

_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}
settings.register_profile("default", derandomize=True, max_examples=30, **_COMMON)
settings.register_profile("thorough", derandomize=True, max_examples=300, **_COMMON)
settings.load_profile("default")


if not torch.accelerator.is_available():
    # torch's own writes the stack down three times, for devices that may be there later: a sixth of the suite's time.
    torch.manual_seed = torch.default_generator.manual_seed


class _TorchRandom:
    """torch's generator, as hypothesis wants one: an example draws the same numbers whenever it runs."""

    seed = staticmethod(torch.manual_seed)
    getstate = staticmethod(torch.get_rng_state)
    setstate = staticmethod(torch.set_rng_state)


_TORCH_RANDOM = _TorchRandom()  # hypothesis keeps no reference
register_random(_TORCH_RANDOM)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--thorough", action="store_true", help="ten times the examples of each property")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Choose the number of processes, unless the command line does (`-n 0`, `-p no:xdist`, `--pdb`)."""
    chosen = not config.pluginmanager.hasplugin("xdist") or hasattr(config, "workerinput")
    if chosen or config.option.usepdb or config.option.numprocesses is not None or config.option.dist != "no":
        return
    config.option.numprocesses, config.option.dist = WORKERS, "worksteal"


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--thorough"):
        settings.load_profile("thorough")
    # torch's own: Dynamo instantiates every autograd.Function, and forward-mode AD scripts a part of torch.
    config.addinivalue_line("filterwarnings", "ignore:.*should not be instantiated:DeprecationWarning")
    config.addinivalue_line("filterwarnings", "ignore:.torch.jit.script:DeprecationWarning")


def pytest_collection_finish() -> None:
    """Have the collector look at what tests make, and less often: what is imported by now stays, and is much."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
