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


@pytest.mark.parametrize("before", [0, 1, 7], ids="after {} steps".format)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_rules_are_torchs_optimizers(name, before):
    check_step_for_step(name, before, 1e-11)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 1e-2)], ids=str)
@pytest.mark.parametrize("before", [0, 7], ids="after {} steps".format)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_in_coarser_precision_too(name, before, dtype, tolerance):
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


class FromRest(AdamRule):
    """What the real optimizer remembers is not asked for."""

    def start(self, weights, state):
        return super().start(weights, {})


class MomentumFromRest(SGDRule):
    """The same."""

    def start(self, weights, state):
        return super().start(weights, {})


class NoCorrection(AdamRule):
    """The averages keep the bias of their start."""

    def step(self, weights, gradients, state, decayed):
        late = {name: {**memory, "step": memory["step"] + 1000} for name, memory in state.items()}
        return super().step(weights, gradients, late, decayed)


class CoarseCount(AdamRule):
    """The count of steps has the precision of the weights, or what torch keeps it in."""

    def start(self, weights, state):
        found = super().start(weights, state)
        return {name: {**memory, "step": memory["step"].to(weights[name])} for name, memory in found.items()}


@pytest.mark.parametrize(
    ("name", "before", "make"),
    [
        ("sgd", 0, lambda lr: AllDecay(lr, weight_decay=DECAY)),
        ("sgd", 0, SGDRule),
        ("momentum", 0, lambda lr: SGDRule(lr, 0.8, DECAY)),
        ("momentum", 7, lambda lr: MomentumFromRest(lr, 0.9, DECAY)),
        ("adam", 7, lambda lr: FromRest(lr, BETAS, TINY, DECAY)),
        ("adam", 0, lambda lr: NoCorrection(lr, BETAS, TINY, DECAY)),
        ("adam", 0, lambda lr: AdamRule(lr, BETAS, TINY, 2 * DECAY)),
        ("adam", 0, lambda lr: AdamRule(lr, (0.8, 0.9), TINY, DECAY)),
    ],
    ids=[
        "all decay",
        "none decays",
        "momentum",
        "momentum from rest",
        "from rest",
        "bias",
        "decay twice",
        "betas",
    ],
)
def test_wrong_rules_are_caught(name, before, make):
    with pytest.raises(AssertionError):
        check_step_for_step(name, before, 1e-6, make=make)


def test_a_count_of_steps_in_half_precision_is_caught():
    def usual(lr):
        return CoarseCount(lr, (0.9, 0.999), 1e-8)  # 0.999 is 1 in bfloat16

    weights = {"w": torch.ones(2, dtype=torch.bfloat16)}
    gradients = {"w": torch.ones(2, dtype=torch.bfloat16)}
    for rule, moved in ((usual(0.1), False), (AdamRule(0.1), True)):
        after, _ = rule.step(weights, gradients, rule.start(weights, {}), frozenset())
        assert torch.equal(after["w"], torch.full_like(weights["w"], 0.9)) is moved
