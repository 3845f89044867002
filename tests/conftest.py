"""Hypothesis profiles: the default is quick and the same on every machine; `--thorough` tries ten times as much."""

import pytest
import torch
from hypothesis import HealthCheck, settings

_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}
settings.register_profile("default", derandomize=True, max_examples=30, **_COMMON)
settings.register_profile("thorough", derandomize=True, max_examples=300, **_COMMON)
settings.load_profile("default")


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
