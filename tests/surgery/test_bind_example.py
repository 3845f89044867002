"""`bind(example=)` finds at once what would not learn."""

from contextlib import nullcontext

import pytest
import torch

from dsptorch import bind
from tests.surgery.bound import CURE, hyperparam, scores, signal
from tests.surgery.models import WIDTH, check_unchanged, small, snapshot

DEAD = {
    "not used": (lambda self, x: x * 2, "as it is not used"),
    "without a tensor": (lambda self, x: None, "as it is not used"),
    "detached": (lambda self, x: x * self.gain.detach() if torch.is_tensor(self.gain) else x, "detached"),
    "rounded": (lambda self, x: x * torch.round(torch.as_tensor(self.gain)), "exactly 0: by rounding"),
    "copied": (lambda self, x: x * torch.tensor([self.gain * x[0, 0, 0]]).sum(), "not used, or is read"),
}


@pytest.mark.parametrize("case", DEAD)
def test_an_example_without_a_gradient_is_refused(case):
    forward, message = DEAD[case]
    m = small(forward, gain=1.0)
    before = vars(m).copy()
    warns = pytest.warns(UserWarning, match="Converting a tensor") if case == "copied" else nullcontext()
    refuses = pytest.raises(ValueError, match=f"gain of Small was not bound: no gradient.*{message}")
    with warns, refuses as raised:
        bind(m, "gain", hyperparam(), example=signal())
    raised.match(CURE.format(name="gain"))
    assert vars(m) == before


@pytest.mark.parametrize("requires_grad", [True, False])
def test_an_example_with_a_gradient_is_taken(requires_grad):
    """The sum of a softmax has none, and must not be what is checked. A frozen hyperparameter needs none."""
    h = hyperparam()
    h.raw.requires_grad_(requires_grad)
    bind(scores(), "temperature", h, example=signal())


def test_an_example_that_fails_is_told_from_the_binding():
    m = scores()
    before = snapshot(m)
    fails = r"was not bound: forward.*fails on the example: RuntimeError.*shapes"
    with pytest.raises(ValueError, match=fails):
        bind(m, "temperature", hyperparam(), example=torch.ones(3, WIDTH + 1))
    with pytest.raises(TypeError, match=r"example must be a tensor or a tuple.*got list"):
        bind(m, "temperature", hyperparam(), example=[signal()])
    check_unchanged(m, before)
