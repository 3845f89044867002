"""No tolerance, seed, vocabulary or example lets everything pass: all checks refuse it before they run."""

from functools import partial

import pytest
import torch
from torch import nn

import dsptorch
from dsptorch import testing as T
from dsptorch.testing.command import main

X, IDS = torch.randn(1, 12, 4), torch.randint(0, 5, (1, 12))
NO_RTOL = [float("nan"), -1.0, -1e-9, float("inf"), 1.0]
NO_SEED = [-1, 2**63, 10**20]
NOT_POSITIVE = [float("nan"), float("inf"), -1.0, 0.0]


def leak(x):
    return x.flip(1)


@pytest.mark.parametrize("check", [T.assert_causal, T.max_lookahead])
@pytest.mark.parametrize("rtol", NO_RTOL)
def test_rtol(check, rtol):
    with pytest.raises(ValueError, match=r"rtol must be a number from 0 to less than 1, got"):
        check(leak, X, rtol=rtol)


@pytest.mark.parametrize(("name", "values"), [("rtol", NO_RTOL), ("seed", NO_SEED)], ids=["rtol", "seed"])
def test_the_command(capsys, name, values):
    for value in values:
        assert main(["tests.testing.gallery:SamePadding", "--channels", "4", f"--{name}={value}"]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"not tested: --{name} must be ")
        assert error.count("\n") == 1


SEEDED = {
    "assert_causal": partial(T.assert_causal, leak, X),
    "max_lookahead": partial(T.max_lookahead, leak, X),
    "influence_matrix": partial(T.influence_matrix, leak, X),
    "assert_linear": partial(T.assert_linear, leak, X),
    "assert_packs": partial(T.assert_packs, dsptorch.FIR(4), X),
    "assert_streaming_equals_batch": partial(T.assert_streaming_equals_batch, dsptorch.FIR(4), X),
}


@pytest.mark.parametrize("name", SEEDED)
def test_seeds(name):
    for seed in NO_SEED:
        with pytest.raises(ValueError, match=r"seed must be an int from 0 to 2\*\*63 - 1, got"):
            SEEDED[name](seed=seed)
    for seed in (0.5, None, True):
        with pytest.raises(TypeError, match="seed must be an int"):
            SEEDED[name](seed=seed)


@pytest.mark.parametrize("value", NOT_POSITIVE)
def test_tolerances_of_other_checks(value):
    one = torch.ones(1, 2, 1)
    for name, call in {
        "scale": lambda: T.assert_close(one, 2 * one, scale=value),
        "factor": lambda: T.assert_dtypes(lambda x: x.half().to(x), X, factor=value),
        "bound": lambda: T.assert_bounded(lambda x: x.cumsum(1), X, value),
    }.items():
        with pytest.raises(ValueError, match=f"{name} must be a finite number above 0, got"):
            call()


@pytest.mark.parametrize("check", [T.assert_causal, T.max_lookahead, T.influence_matrix])
def test_vocabularies(check):
    model = nn.Embedding(1, 3)
    with pytest.raises(ValueError, match="vocab_size must be at least 2, got 1: with a single id"):
        check(model, torch.zeros_like(IDS), vocab_size=1)
    with pytest.raises(ValueError, match="vocab_size must be given where all ids of the example are 0"):
        check(model, torch.zeros_like(IDS))
    with pytest.raises(TypeError, match=r"vocab_size must be an int of at least 2, got 4\.5"):
        check(model, IDS, vocab_size=4.5)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_an_example_that_is_not_finite_proves_nothing(value):
    with pytest.raises(ValueError, match="example must be finite"):
        T.assert_linear(torch.relu, value * X.abs())
    with pytest.raises(ValueError, match="delay must leave some of 12 samples, got 12"):
        T.assert_identity(torch.zeros_like, X, delay=12)
