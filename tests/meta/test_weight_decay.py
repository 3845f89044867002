"""A price on the weights is a weight decay: learned through the rule or in the loss, it is one thing."""

import pytest
import torch

from dsptorch.meta import Implicit, SGDRule, Unroll
from tests.meta.models import Ridge, check_near, hypergradient

LR = 0.2


def with_decay(kind, weight_decay_of):
    ridge = Ridge(priced=False)
    ridge.weight.data.normal_(generator=torch.Generator().manual_seed(3))
    return hypergradient(kind(SGDRule(LR, weight_decay=weight_decay_of(ridge))), ridge, **ridge.losses())


def with_price(kind):
    ridge = Ridge()
    ridge.weight.data.normal_(generator=torch.Generator().manual_seed(3))
    return hypergradient(kind(SGDRule(LR)), ridge, **ridge.losses())


KINDS = {
    "unroll": lambda rule: Unroll(rule, 7),
    "neumann": lambda rule: Implicit(rule, 7),
    "cg": lambda rule: Implicit(rule, 3, "cg"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_learned_weight_decay_is_a_learned_price(kind):
    check_near(with_decay(KINDS[kind], lambda m: m.price), with_price(KINDS[kind]), 1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_half_a_decay_is_caught(kind):
    class Half(type(Ridge().price)):
        def forward(self):
            return super().forward() / 2

    def half(ridge):
        ridge.price.__class__ = Half
        return ridge.price

    with pytest.raises(AssertionError):
        check_near(with_decay(KINDS[kind], half), with_price(KINDS[kind]), 1e-3)
