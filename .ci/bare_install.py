"""Run in an environment that has the wheel and its requirements alone: the core works, and extras are named."""

import importlib
import importlib.util
import warnings

import torch

for name in ("scipy", "matplotlib", "hypothesis", "pytest", "lightning", "transformers", "soundfile"):
    if importlib.util.find_spec(name):
        raise SystemExit(f"this environment has {name}: it proves nothing")

warnings.simplefilter("error")
import dsptorch

for room in (
    "functional",
    "hyperparams",
    "layers",
    "meta",
    "audio",
    "surgery",
    "analysis",
    "testing",
    "integrations",
):
    importlib.import_module(f"dsptorch.{room}")

from dsptorch.analysis import plot_response, summary
from dsptorch.testing import assert_causal, assert_streaming_equals_batch, contract_tests

model = torch.nn.Sequential(torch.nn.Linear(8, 8)).eval()
dsptorch.insert(model, "0", lambda linear: dsptorch.Multirate(8))
assert_causal(model, torch.randn(1, 32, 8))
assert_streaming_equals_batch(dsptorch.Multirate(8), torch.randn(1, 32, 8))
print(summary(model))

OPTIONAL = {
    "plots": lambda: plot_response(dsptorch.FIR(2)),
    "testing": lambda: contract_tests(lambda: dsptorch.FIR(2)),
    "integrations": lambda: importlib.import_module("dsptorch.integrations.huggingface"),
}
for extra, call in OPTIONAL.items():
    try:
        call()
    except ImportError as error:
        if f"dsptorch[{extra}]" not in str(error):
            raise SystemExit(f"{extra}: expected the extra's name, got {error}") from error
    else:
        raise SystemExit(f"{extra}: expected an ImportError")
print(f"dsptorch {dsptorch.__version__} works with torch, einops and numpy alone")
