"""What both callbacks share: data without an end, states as JSON, and arguments that are refused."""

import json
import subprocess
import sys
from itertools import chain

import pytest
import torch
from torch import nn

from dsptorch import BoundedHyperparam
from dsptorch.integrations.batches import ResumableBatches
from dsptorch.integrations.driver import Driver
from dsptorch.integrations.json_state import from_json, to_json
from dsptorch.integrations.metrics import hyperparam_metrics

SHUFFLED = torch.utils.data.DataLoader(range(10), batch_size=3, shuffle=True)


def drawn(batches, count):
    return [next(batches).tolist() for _ in range(count)]


def test_batches_do_not_end_and_each_epoch_has_its_order():
    found = drawn(ResumableBatches(SHUFFLED, seed=0), 8)
    first, second = list(chain(*found[:4])), list(chain(*found[4:]))
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    assert drawn(ResumableBatches(SHUFFLED, seed=0), 8) == found
    assert drawn(ResumableBatches(SHUFFLED, seed=1), 8) != found


def test_batches_and_training_do_not_disturb_each_other():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    drawn(ResumableBatches(SHUFFLED, seed=0), 6)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("at", [0, 1, 4, 6])
def test_batches_go_on_from_a_state(at):
    whole = ResumableBatches(SHUFFLED, seed=0)
    drawn(whole, at)
    other = ResumableBatches(SHUFFLED, seed=0)
    other.load_state_dict(json.loads(json.dumps(whole.state_dict())))
    assert drawn(other, 9) == drawn(whole, 9)


def test_batches_that_end_are_refused():
    batches = ResumableBatches(iter([1, 2]), seed=0)
    assert [next(batches), next(batches)] == [1, 2]
    with pytest.raises(ValueError, match="without an end, got list_iterator without a batch in epoch 1"):
        next(batches)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64])
def test_states_pass_json_exactly(dtype):
    value = (torch.randn(2, 3, generator=torch.Generator().manual_seed(0)) * 1e3).to(dtype)
    infinite = torch.tensor([float("nan"), float("inf")])
    state = {
        "a": {"value": value, "none": None, "scalar": value[0, 0], "inf": infinite},
        "list": [1, 0.1, "b"],
    }
    found = from_json(json.loads(json.dumps(to_json(state))))
    assert found["list"] == state["list"]
    assert found["a"]["none"] is None
    for name in ("value", "scalar", "inf"):
        torch.testing.assert_close(found["a"][name], state["a"][name], rtol=0, atol=0, equal_nan=True)


def test_one_of_several_elements_is_logged_as_mean_and_greatest_saturation():
    hyperparam = BoundedHyperparam(torch.tensor([0.5, 0.9]), 0.0, 1.0)
    found = hyperparam_metrics({"mix": hyperparam})
    assert found["hyperparams/mix"] == pytest.approx(0.7)
    assert found["saturation/mix"] == hyperparam.saturation()[1].item()


def driver(loss_fn=None, *, train_data=None, val_data=None, outside=None, **arguments):
    return Driver(loss_fn, train_data=train_data, val_data=val_data, outside=outside, arguments=arguments)


OUTSIDE = "outside must map names to .* at 'p'; as in"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"scaler": None}, TypeError, "the trainer does not know itself, got scaler; leave it out"),
        ({"total_steps": 3}, TypeError, "got total_steps"),
        ({"evry": 3}, TypeError, "evry"),
        ({"every": 0}, ValueError, "every"),
        ({"objective": "most"}, ValueError, "objective must be"),
        ({"val_data": [1]}, ValueError, "expected a loss to take on the data, got none; give loss_fn"),
        ({"val_data": 3, "loss_fn": len}, TypeError, "that can be iterated, got int; give a DataLoader"),
        ({"loss_fn": 3}, TypeError, "loss_fn must be a function of a model and a batch, got int"),
        ({"outside": {"p": BoundedHyperparam(0.5, 0, 1)}}, TypeError, OUTSIDE),
    ],
)
def test_arguments_are_checked_at_construction(arguments, error, message):
    with pytest.raises(error, match=message):
        driver(**arguments)


def test_names_are_checked_when_the_model_is_there():
    model = nn.Sequential(BoundedHyperparam(0.5, 0.0, 1.0))
    message = "names of BoundedHyperparams of the model, got 'other'; there are: 0"
    with pytest.raises(ValueError, match=message):
        driver(hyperparams=["other"]).freeze(model)
    assert model[0].raw.requires_grad


def test_a_hyperparameter_that_was_frozen_stays_so():
    model = nn.Sequential(BoundedHyperparam(0.5, 0.0, 1.0).freeze(), BoundedHyperparam(0.5, 0.0, 1.0))
    made = driver()
    made.freeze(model)
    assert not model[1].raw.requires_grad
    made.end()
    assert [module.raw.requires_grad for module in model] == [False, True]


@pytest.mark.parametrize(
    ("module", "missing", "message"),
    [
        ("huggingface", "transformers", "needs transformers and accelerate"),
        ("huggingface", "accelerate", "needs transformers and accelerate"),
        ("lightning", "lightning", "needs lightning"),
    ],
)
def test_what_is_missing_is_named(monkeypatch, module, missing, message):
    names = [name for name in sys.modules if name.partition(".")[0] == missing]
    for name in [*names, f"dsptorch.integrations.{module}"]:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=rf"{message}; pip install 'dsptorch\[integrations\]'"):
        __import__(f"dsptorch.integrations.{module}")


def test_importing_dsptorch_imports_no_trainer():
    trainers = "{'transformers', 'lightning'} & set(sys.modules)"
    code = f"import sys, dsptorch, dsptorch.integrations; print({trainers})"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
