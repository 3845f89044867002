"""A number inside a module learns, and is a number again."""

import copy

import pytest
import torch
from torch import nn

from dsptorch import bind, named_hyperparams, unbind
from tests.surgery.bound import CHILD, expected, hyperparam, scores, signal
from tests.surgery.models import check_unchanged, small, snapshot, through_pickle
from tests.tolerances import assert_close, assert_same

# What forward sees


def check_computes(m, h, x):
    """The value is that of the hyperparameter, now and when it has moved; so is the gradient."""
    for value in (2.0, 0.5):
        h.set_(value)
        h.raw.grad = None
        y = m(x)
        assert_close(y, expected(m, x, h.value))
        weights = torch.randn_like(y)
        y.backward(weights)
        (grad,) = torch.autograd.grad(expected(m, x, h().reshape(())), h.raw, weights)
        assert grad.abs().item() > 0
        assert h.raw.grad is not None
        assert_close(h.raw.grad, grad)


def test_forward_reads_the_value_with_its_gradient():
    m, h = scores(), hyperparam()
    assert bind(m, "temperature", h) == CHILD
    check_computes(m, h, signal())


@pytest.mark.parametrize("dead", ["not bound", "detached", "a value of the past"])
def test_what_does_not_learn_is_caught(dead):
    m, h = scores(), hyperparam()
    if dead == "detached":
        m.register_forward_pre_hook(lambda m, _: setattr(m, "temperature", h.value))
    elif dead == "a value of the past":
        m.temperature = h().reshape(())
    with pytest.raises((AssertionError, RuntimeError, TypeError)):
        check_computes(m, h, signal())


def test_several_at_one_module():
    m, x = scores(), signal()
    bind(m, "temperature", hyperparam(2.0))
    bind(m, "power", hyperparam(1.5))
    assert_close(m(x), torch.softmax(m.mix(x).abs() ** 1.5 / 2.0, -1))
    m(x)[..., 0].sum().backward()
    assert all(h.raw.grad.abs().item() > 0 for _, h in named_hyperparams(m))
    assert unbind(m, "temperature") == pytest.approx(2.0)
    assert_close(m(x), torch.softmax(m.mix(x).abs() ** 1.5 / 2.0, -1))
    assert unbind(m, "power") == pytest.approx(1.5)
    assert "forward" not in vars(m)


def test_one_hyperparameter_for_two_modules():
    model, h, x = nn.Sequential(scores(), scores()), hyperparam(), signal()
    for m in model:
        bind(m, "temperature", h)
    assert [name for name, _ in named_hyperparams(model)] == [f"0.{CHILD}"]
    assert_close(model(x), expected(model[1], expected(model[0], x, 2.0), 2.0))


def gained(gain=1.0):
    return small(lambda self, x: (x * self.gain, x.sum() * self.gain), gain=gain)


def check_takes_the_place_of_a_float(m, dtype):
    """Neither the dtype of what it meets nor its shape is another than with a float."""
    y, total = m(torch.ones(3, dtype=dtype))
    assert y.dtype == dtype
    assert [y.shape, total.shape] == [(3,), ()]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_takes_the_place_of_a_float(dtype):
    m = gained()
    bind(m, "gain", hyperparam())
    check_takes_the_place_of_a_float(m, dtype)


def test_one_value_that_is_no_scalar_would_not():
    with pytest.raises(AssertionError):
        check_takes_the_place_of_a_float(gained(torch.ones(1)), torch.bfloat16)


def test_an_activation_without_dimensions_becomes_float32():
    """As PyTorch promotes two tensors without dimensions; a float would not."""
    m = small(lambda self, x: x.mean() * self.gain)
    m.gain = 1.0
    bind(m, "gain", hyperparam())
    assert m(torch.ones(4, dtype=torch.bfloat16)).dtype == torch.float32
    m = small(lambda self, x: x.mean(-1) * self.gain)
    m.gain = 1.0
    bind(m, "gain", hyperparam())
    assert m(torch.ones(2, 4, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_a_class_attribute():
    m = small(lambda self, x: x * self.gain)
    type(m).gain = 1.0
    bind(m, "gain", hyperparam())
    assert_close(m(torch.ones(2)), torch.full((2,), 2.0))
    assert type(m).gain == 1.0
    assert unbind(m, "gain") == pytest.approx(2.0)
    assert type(m).gain == 1.0
    with pytest.raises(ValueError, match="exactly 0"):
        bind(fresh := type(m)(), "gain", hyperparam(), example=torch.zeros(2))
    assert "gain" not in vars(fresh)


def test_the_value_in_the_output_is_an_ordinary_tensor():
    def forward(self, x):
        self.kept = self.gain * 2
        return {"y": x * self.gain, "rest": [self.gain, -self.gain]}

    m = small(forward, gain=1.0)
    bind(m, "gain", hyperparam())
    output = m(torch.ones(2))
    assert [type(t) for t in (output["y"], *output["rest"])] == [torch.Tensor] * 3
    assert float(output["rest"][1].detach()) == pytest.approx(-2.0)
    assert m.kept.item() == pytest.approx(4.0)  # after the forward anyone may read
    assert float(m.kept * 2 > 3) == 1.0


# Outside forward


def check_ordinary(m, x):
    """No tensor stays on the module, whatever happens in forward; else it could not be copied."""
    m(x)
    assert type(m.temperature) is float
    assert m.temperature == 1.0
    with pytest.raises(RuntimeError, match="shapes"):
        m(x[..., 1:])
    assert type(m.temperature) is float
    copy.deepcopy(m)


def test_the_attribute_is_a_number_outside_forward():
    m = scores()
    bind(m, "temperature", hyperparam())
    check_ordinary(m, signal())
    assert_close(m.scores(signal()), m.mix(signal()).abs() ** 2)  # another method sees the number


def test_a_tensor_that_stays_is_caught():
    m, h = scores(), hyperparam()
    m.register_forward_pre_hook(lambda m, _: setattr(m, "temperature", h()))
    with pytest.raises(AssertionError):
        check_ordinary(m, signal())


def test_a_forward_that_calls_itself():
    m = small(lambda self, x, depth=2: self(x, depth - 1) * self.gain if depth else x * self.gain, gain=1.0)
    bind(m, "gain", hyperparam())
    assert_close(m(torch.ones(2)), torch.full((2,), 8.0))
    assert m.gain == 1.0


def test_a_number_set_meanwhile_is_refused():
    m = scores()
    bind(m, "temperature", hyperparam())
    m.temperature = 0.5
    with pytest.raises(ValueError, match=r"temperature of Scores was set to 0\.5.*set_\(\), or unbind"):
        m(signal())
    unbind(m, "temperature")
    m(signal())


def test_a_forward_that_assigns_is_refused():
    def forward(self, x):
        self.gain = self.gain * 0.9
        return x * self.gain

    m = small(forward, gain=1.0)
    bind(m, "gain", hyperparam())
    with pytest.raises(ValueError, match="forward of Small assigns gain"):
        m(torch.ones(2))
    assert m.gain == 1.0


# The hyperparameter is a part of the module


def test_is_a_child():
    model, h = nn.Sequential(scores()), hyperparam()
    bind(model[0], "temperature", h)
    assert list(named_hyperparams(model)) == [(f"0.{CHILD}", h)]
    twin = nn.Sequential(scores())
    bind(twin[0], "temperature", hyperparam(0.3))
    twin.load_state_dict(model.state_dict(), strict=True)
    assert_same(twin(signal()), model(signal()))
    assert model.double()[0].temperature_hyperparam.raw.dtype == torch.float64
    assert model(signal().double()).dtype == torch.float64
    assert model.bfloat16()[0].temperature_hyperparam.raw.dtype == torch.float64
    result = nn.Sequential(scores()).load_state_dict(model.state_dict(), strict=False)
    assert result.unexpected_keys == [f"0.{CHILD}.raw", f"0.{CHILD}.interval"]


def test_its_name_gives_way():
    m = scores()
    m.temperature_hyperparam = "taken"
    assert bind(m, "temperature", hyperparam()) == f"{CHILD}_2"
    unbind(m, "temperature")
    assert m.temperature_hyperparam == "taken"


@pytest.mark.parametrize("make_copy", [copy.deepcopy, through_pickle])
def test_copies(make_copy):
    m, x = scores(), signal()
    bind(m, "temperature", hyperparam())
    m(x)
    twin = make_copy(m)
    assert_same(twin(x), m(x))
    twin.temperature_hyperparam.set_(0.3)
    assert_close(twin(x), expected(m, x, 0.3))
    assert_close(m(x), expected(m, x, 2.0))
    assert unbind(twin, "temperature") == pytest.approx(0.3)
    assert_close(m(x), expected(m, x, 2.0))


def test_unbinding_restores():
    m, x = scores(), signal()
    before = snapshot(m)
    bind(m, "temperature", hyperparam(3.0))
    learned = m(x).detach()
    assert unbind(m, "temperature") == m.temperature == pytest.approx(3.0)
    assert_close(m(x), learned)
    m.temperature = 1.0
    check_unchanged(m, before)
    with pytest.raises(ValueError, match=r"temperature of Scores is not bound; bound are: none"):
        unbind(m, "temperature")
    bind(m, "power", hyperparam())
    with pytest.raises(ValueError, match=r"not bound; bound are: power"):
        unbind(m, "temperature")
