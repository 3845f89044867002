"""`bind(example=)` finds at once what would not learn, and leaves no trace."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn

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
    """The sum of a softmax has none: what the check must not be taken in by. A frozen hyperparameter needs none."""
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


class Untidy(nn.Module):
    """Everything that a forward can leave behind."""

    def __init__(self):
        super().__init__()
        self.norm, self.drop = nn.BatchNorm1d(WIDTH), nn.Dropout(0.5)
        self.gain, self.calls, self.seen, self.plain = 1.0, 0, [], torch.zeros(1)

    def forward(self, x):
        self.calls += 1
        x += 1
        self.seen.append(x)
        self.plain += 1
        self.last = self.norm(x) * self.gain
        self.register_buffer("cache", x)
        return self.drop(self.last)


def check_no_trace(probe):
    m, x = Untidy(), torch.arange(3.0 * WIDTH).reshape(3, WIDTH)
    first = x.clone()
    state = {name: value.clone() for name, value in m.state_dict().items()}
    random = torch.get_rng_state()
    probe(m, x)
    assert torch.equal(torch.get_rng_state(), random)
    assert m.training
    assert all(p.grad is None for p in m.parameters())
    assert (m.calls, m.seen, m.plain.item()) == (0, [], 0)
    assert not hasattr(m, "last")
    assert not hasattr(m, "cache")
    after = {name: value for name, value in m.state_dict().items() if not name.endswith("raw")}
    assert after.keys() == state.keys()
    assert all(torch.equal(after[name], value) for name, value in state.items())
    assert torch.equal(x, first)


def test_an_example_leaves_no_trace():
    check_no_trace(lambda m, x: bind(m, "gain", hyperparam(), example=(x,)))


def only_buffers(m, x):
    torch.func.functional_call(m, {name: b.clone() for name, b in m.named_buffers()}, (x.clone(),))


def only_state(m, x):
    with torch.random.fork_rng(devices=[]):
        only_buffers(m, x)
    for name in ("last", "cache"):
        delattr(m, name)
    m.calls = 0


@pytest.mark.parametrize("probe", [lambda m, x: m(x).sum().backward(), only_buffers, only_state])
def test_a_trace_is_caught(probe):
    with pytest.raises(AssertionError):
        check_no_trace(probe)
