"""The rules are torch's optimizers, step for step."""

import pytest
import torch

from dsptorch.meta import AdamRule, SGDRule
from tests.meta.nets import BETAS, DECAY, LR, OPTIMIZERS, TINY, started, train


def check_step_for_step(name, before, tolerance, make=None, dtype=torch.float64, eps=TINY):
    """Five steps more, by the rule from what the optimizer remembers, and by the optimizer itself."""
    net, optimizer = started(name, before, dtype)
    for group in optimizer.param_groups:
        group.update({"eps": eps} if "eps" in group else {})
    rule = (make or OPTIMIZERS[name][0])(LR)
    weights = net.weights()
    memory = {key: optimizer.state[net.get_parameter(key)] for key in weights if before}
    state = rule.start(weights, memory)
    for _ in range(5):
        grad = torch.func.grad(lambda weights: torch.func.functional_call(net, weights, ()))
        weights, state = rule.step(weights, grad(weights), state, frozenset({"layer.weight"}))
    train(net, optimizer, 5)
    for key, weight in weights.items():
        assert weight.dtype == dtype
        difference = (weight - net.get_parameter(key)).abs().max().item()
        assert difference <= tolerance, f"{key}: {difference:.2g}"


PRECISIONS = [(torch.float64, 1e-11), (torch.float32, 1e-6), (torch.bfloat16, 1e-2)]


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS, ids=str)
@pytest.mark.parametrize("before", [0, 1, 7], ids="after {} steps".format)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_rules_are_torchs_optimizers(name, before, dtype, tolerance):
    check_step_for_step(name, before, tolerance, dtype=dtype)


def check_eps(eps, share):
    """Both steps are lr m / (|g| + eps), up to how eps is added to |g|: about lr eps / |g| a step."""
    check_step_for_step("adam", 0, share * 5 * LR * eps, lambda lr: AdamRule(lr, BETAS, eps, DECAY), eps=eps)


@pytest.mark.parametrize("eps", [1e-8, 1e-4])
def test_eps_inside_the_root_shows_by_about_eps_of_a_step(eps):
    check_eps(eps, 10.0)  # the least |g| is about 0.2
    with pytest.raises(AssertionError):
        check_eps(eps, 1.0)


class AllDecay(SGDRule):
    """The bias decays, too."""

    def step(self, weights, gradients, state, decayed):
        return super().step(weights, gradients, state, frozenset(weights))


def from_rest(kind):
    """A rule that does not ask for what the real optimizer remembers."""
    return type("FromRest", (kind,), {"start": lambda self, weights, state: kind.start(self, weights, {})})


class NoCorrection(AdamRule):
    """The averages keep the bias of their start."""

    def step(self, weights, gradients, state, decayed):
        late = {name: {**memory, "step": memory["step"] + 1000} for name, memory in state.items()}
        return super().step(weights, gradients, late, decayed)


WRONG = {
    "all decay": ("sgd", 0, lambda lr: AllDecay(lr, weight_decay=DECAY)),
    "none decays": ("sgd", 0, SGDRule),
    "momentum": ("momentum", 0, lambda lr: SGDRule(lr, 0.8, DECAY)),
    "momentum from rest": ("momentum", 7, lambda lr: from_rest(SGDRule)(lr, 0.9, DECAY)),
    "from rest": ("adam", 7, lambda lr: from_rest(AdamRule)(lr, BETAS, TINY, DECAY)),
    "bias": ("adam", 0, lambda lr: NoCorrection(lr, BETAS, TINY, DECAY)),
    "decay twice": ("adam", 0, lambda lr: AdamRule(lr, BETAS, TINY, 2 * DECAY)),
    "betas": ("adam", 0, lambda lr: AdamRule(lr, (0.8, 0.9), TINY, DECAY)),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_rules_are_caught(wrong):
    name, before, make = WRONG[wrong]
    with pytest.raises(AssertionError):
        check_step_for_step(name, before, 1e-6, make=make)


class CoarseCount(AdamRule):
    """The count of steps has the precision of the weights, or what torch keeps it in."""

    def start(self, weights, state):
        found = super().start(weights, state)
        return {name: {**memory, "step": memory["step"].to(weights[name])} for name, memory in found.items()}


@pytest.mark.parametrize(
    ("rule", "moved"), [(AdamRule(0.1), True), (CoarseCount(0.1, (0.9, 0.999), 1e-8), False)]
)
def test_a_count_of_steps_in_half_precision_is_caught(rule, moved):
    """0.999 is 1 in bfloat16."""
    weights = {"w": torch.ones(2, dtype=torch.bfloat16)}
    after, _ = rule.step(weights, weights, rule.start(weights, {}), frozenset())
    assert torch.equal(after["w"], torch.full_like(weights["w"], 0.9)) is moved
