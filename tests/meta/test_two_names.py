"""A module that has two names in its model, as tied layers have, is none the worse for an update."""

import pytest
from torch import nn
from torch.func import functional_call

from tests.meta import loops
from tests.meta.loops import ESTIMATORS, Run, check_alike


class TwoNames(loops.Net):
    """The same model; a layer, a norm with its buffers, and a hyperparameter can also be reached by other names."""

    def __init__(self):
        super().__init__()
        self.aliases = nn.ModuleList([self.first, self.norm, self.temperature])


def check_two_names(estimator, monkeypatch):
    expected = Run(estimator).steps(4).seen()
    monkeypatch.setattr(loops, "Net", TwoNames)
    run = Run(estimator).steps(4)
    seen = run.seen()
    for one in (seen, expected):
        one["model"] = {name: value for name, value in one["model"].items() if not name.startswith("aliases")}
        del one["modes"]  # one for each module, and the list is one more
    check_alike(seen, expected)
    assert all(type(p) is nn.Parameter for module in run.model.modules() for p in module._parameters.values())


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_an_update_is_that_of_the_same_model_with_one_name(estimator, monkeypatch):
    check_two_names(estimator, monkeypatch)


def test_tensors_that_stay_behind_are_caught(monkeypatch):
    """What torch does by default with weights that have several names."""

    def tied(module, tensors, args, *, tie_weights):
        return functional_call(module, tensors, args)

    monkeypatch.setattr("dsptorch.meta.estimators.base.functional_call", tied)
    with pytest.raises(AssertionError):
        check_two_names("implicit", monkeypatch)
