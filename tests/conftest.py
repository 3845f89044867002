"""Hypothesis profiles: the default is quick and the same on every machine; `--thorough` tries ten times as much."""

import pytest
import torch
from hypothesis import HealthCheck, register_random, settings

_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}
settings.register_profile("default", derandomize=True, max_examples=30, **_COMMON)
settings.register_profile("thorough", derandomize=True, max_examples=300, **_COMMON)
settings.load_profile("default")


class _TorchRandom:
    """torch's generator, as hypothesis wants one: an example draws the same numbers whenever it runs."""

    seed = staticmethod(torch.manual_seed)
    getstate = staticmethod(torch.get_rng_state)
    setstate = staticmethod(torch.set_rng_state)


_TORCH_RANDOM = _TorchRandom()  # hypothesis keeps no reference
register_random(_TORCH_RANDOM)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--thorough", action="store_true", help="ten times the examples of each property")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--thorough"):
        settings.load_profile("thorough")
    # torch's own: Dynamo instantiates every autograd.Function, and forward-mode AD scripts a part of torch.
    config.addinivalue_line("filterwarnings", "ignore:.*should not be instantiated:DeprecationWarning")
    config.addinivalue_line("filterwarnings", "ignore:.torch.jit.script:DeprecationWarning")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
