"""Layers made of layers call them as modules: hooks run, see tensors, and change what is computed, at any time."""

import copy

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounter
from torch.utils.checkpoint import checkpoint

from dsptorch import FIR, AtRate, Blend, Chain, LFOGate, Parallel, Pointwise, Residual, Split
from tests.layers.table import WIDTH, signal
from tests.tolerances import assert_close, assert_same

IDS = torch.tensor([[0] * 5 + [1] * 14, [-1] * 3 + [0] * 16])


def fir(width=WIDTH):
    return FIR(width, 3, init="lowpass", dtype=torch.float64)


def blend():
    layer = Blend(fir(), dtype=torch.float64)
    nn.init.constant_(layer.gain, 0.5)
    return layer


BUILD = {
    "Chain": lambda: Chain(fir(), Pointwise(nn.Tanh(), WIDTH)),
    "Parallel": lambda: Parallel(fir(), fir()),
    "Split": lambda: Split(fir(1), fir(WIDTH - 1)),
    "Residual": lambda: Residual(fir()),
    "Blend": blend,
    "AtRate": lambda: AtRate(fir(), 2, dtype=torch.float64),
    "LFOGate": lambda: LFOGate(fir(), 2).double(),
    "nested": lambda: Chain(Residual(blend()), Pointwise(nn.Tanh(), WIDTH)),
}


def by_step(layer, x):
    outputs, state = [], None
    for chunk in x.split([4, 0, 1, 14], 1):
        y, state = layer.step(chunk, state)
        outputs.append(y)
    return torch.cat(outputs, 1)


RUN = {
    "whole": lambda layer, x: layer(x),
    "by step": by_step,
    "checkpoint": lambda layer, x: checkpoint(layer, x, use_reentrant=False),
    "functional": lambda layer, x: torch.func.functional_call(layer, dict(layer.named_parameters()), (x,)),
}


def member(layer):
    return next(part for part in layer.modules() if isinstance(part, FIR))


def double_the_input(module, args):
    (x,) = args
    return 2 * x


def negate_the_output(module, args, output):
    assert [type(part) for part in (*args, output)] == [torch.Tensor, torch.Tensor]
    assert output.shape == args[0].shape
    return -output


def add_hooks(module):
    return [
        module.register_forward_pre_hook(double_the_input),
        module.register_forward_hook(negate_the_output),
    ]


def scaled(layer):
    """The same layer with other taps in the place of the hooks."""
    other = copy.deepcopy(layer)
    with torch.no_grad():
        member(other).weight.mul_(-2)
    return other


def check_hooks_act(layer, run, x=None):
    x = signal(2, 19) if x is None else x
    expected, plain = run(scaled(layer), x), run(layer, x)
    assert not torch.allclose(expected, plain)
    hooks = add_hooks(member(layer))  # after a first call
    assert_close(run(layer, x), expected)
    for hook in hooks:
        hook.remove()
    assert_same(run(layer, x), plain)


@pytest.mark.parametrize("run", RUN)
@pytest.mark.parametrize("name", BUILD)
def test_hooks_of_a_member_act(name, run):
    check_hooks_act(BUILD[name](), RUN[run])


@pytest.mark.parametrize("run", ["whole", "by step"])
def test_hooks_of_a_bare_layer_act(run):
    check_hooks_act(fir(), RUN[run])


def test_hooks_act_among_segments():
    check_hooks_act(BUILD["nested"](), lambda layer, x: layer(x, IDS))


@pytest.mark.parametrize("run", RUN)
def test_members_that_are_not_called_are_caught(run, monkeypatch):
    def past(layer, *chunk):
        return layer.process(*chunk)

    monkeypatch.setattr("dsptorch.layers.chain.call_layer", past)
    with pytest.raises(AssertionError):
        check_hooks_act(BUILD["Chain"](), RUN[run])


@pytest.mark.parametrize("name", ["Chain", "Blend"])
def test_derivatives_go_through_hooks(name):
    layer, x = BUILD[name](), signal(1, 4)[..., :WIDTH].requires_grad_()
    expected = torch.autograd.grad(scaled(layer)(x).square().sum(), x)
    seen = []
    add_hooks(member(layer))
    member(layer).register_full_backward_hook(lambda module, of_x, of_y: seen.append((of_x, of_y)))
    assert_close(torch.autograd.grad(layer(x).square().sum(), x)[0], expected[0])
    (((of_x,), (of_y,)),) = seen
    assert of_x.shape == of_y.shape == x.shape
    assert torch.autograd.gradgradcheck(layer, (x,))


def check_compiled_code_follows_hooks(layer):
    """Hooks that come after a first compiled call, and go."""
    torch.compiler.reset()
    compiled, x = torch.compile(layer, fullgraph=True, backend="eager"), signal(2, 19)
    check_hooks_act(layer, lambda layer, x: (compiled if layer is compiled._orig_mod else layer)(x), x)


@pytest.mark.parametrize("layer", [Chain(fir()), nn.Sequential(fir())], ids=["member", "in a model"])
def test_compiled_code_follows_hooks(layer):
    check_compiled_code_follows_hooks(layer)


def test_compiled_code_without_a_guard_is_caught(monkeypatch):
    """By default Dynamo does not guard on hooks."""
    monkeypatch.setattr("dsptorch.layers.base.guard_hooks", lambda module: None)
    with pytest.raises(AssertionError):
        check_compiled_code_follows_hooks(nn.Sequential(fir()))


@pytest.mark.slow
def test_a_step_with_hooks_compiles_to_one_graph():
    torch.compiler.reset()
    layer = BUILD["nested"]()
    add_hooks(member(layer))
    step, (_, state) = (
        torch.compile(layer.step, fullgraph=True, backend="aot_eager"),
        layer.step(signal(2, 9)),
    )
    for mine, its in zip(step(signal(2, 3), state), layer.step(signal(2, 3), state), strict=True):
        torch.testing.assert_close(mine, its)


@pytest.mark.slow
def test_a_member_compiled_in_place():
    torch.compiler.reset()
    layer, x = BUILD["Chain"](), signal(2, 19)
    (_, state), (expected, _) = layer.step(x[:, :9]), layer.step(x)
    graphs = CompileCounter()
    layer.layers[0].compile(fullgraph=True, backend=graphs)
    assert_close(layer(x), expected)
    assert_close(layer.step(x[:, 9:], state)[0], expected[:, 9:])
    assert graphs.frame_count


class Steps(nn.Module):
    d_model = WIDTH

    def forward(self, x):
        return x

    def step(self, x, state=None):
        return x, ()


def test_hooks_of_a_module_that_is_stepped_are_refused():
    """Its method `step` is all that AtRate runs, and hooks are of a call."""
    module = Steps()
    layer = AtRate(module, 2, dtype=torch.float64)
    layer(signal(2, 19))
    hooks = add_hooks(module)
    with pytest.raises(ValueError, match="runs Steps by its method step, past the forward hooks"):
        layer(signal(2, 19))
    for hook in hooks:
        hook.remove()
    layer(signal(2, 19))
