"""A probe of `insert` and of `bind`, a forward pass on an example, leaves no trace."""

import pytest
import torch
from torch import nn

from dsptorch import Multirate, bind, insert
from tests.surgery.bound import hyperparam
from tests.surgery.models import WIDTH, draw


class Untidy(nn.Module):
    """Everything that a forward can leave behind."""

    def __init__(self):
        super().__init__()
        self.norm, self.drop, self.mix = nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(WIDTH, WIDTH)
        self.gain, self.calls, self.seen, self.plain = 1.0, 0, [], torch.zeros(1)
        self.register_buffer("written", torch.zeros(1))
        self.register_buffer("assigned", torch.zeros(1))

    def forward(self, x):
        self.calls += 1
        x += 1
        self.seen.append(x)
        self.plain += 1
        self.written += 1
        self.assigned = self.assigned + 1
        self.register_buffer("cache", x)
        self.last = self.drop(self.norm(self.mix(x))) * self.gain
        return self.last


def check_no_trace(probe):
    m, x = Untidy(), draw(3, 6, WIDTH)
    m.drop.eval()
    m.mix.weight.grad = torch.ones(WIDTH, WIDTH)
    first, random = x.clone(), torch.get_rng_state()
    state = {name: value.clone() for name, value in m.state_dict().items()}
    probe(m, x)
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.equal(x, first)
    assert [m.training, m.drop.training, m.mix.training] == [True, False, True]
    assert (m.calls, m.seen, m.plain.item()) == (0, [], 0)
    assert not hasattr(m, "last")
    assert not hasattr(m, "cache")
    assert all(torch.equal(m.state_dict()[name], value) for name, value in state.items())
    gradients = {name: p.grad for name, p in m.named_parameters() if p.grad is not None}
    assert list(gradients) == ["mix.weight"]
    assert gradients["mix.weight"].sum() == WIDTH * WIDTH
    assert not any(part._forward_hooks for part in m.modules())
    assert not any(part._forward_pre_hooks for part in m.modules() if part is not m.mix)  # where the layer is


def inserted(m, x):
    insert(m, "mix", lambda _: Multirate(WIDTH), example=x)


def bound(m, x):
    bind(m, "gain", hyperparam(), example=(x,))


@pytest.mark.parametrize("probe", [inserted, bound])
def test_an_example_leaves_no_trace(probe):
    check_no_trace(probe)


def backward(m, x):
    m(x).sum().backward()


def only_buffers(m, x):
    torch.func.functional_call(m, {name: b.clone() for name, b in m.named_buffers()}, (x.clone(),))


def only_state(m, x):
    with torch.random.fork_rng(devices=[]):
        only_buffers(m, x)
    for name in ("last", "cache"):
        delattr(m, name)
    m.calls = 0


@pytest.mark.parametrize("probe", [backward, only_buffers, only_state])
def test_a_trace_is_caught(probe):
    with pytest.raises(AssertionError):
        check_no_trace(probe)
