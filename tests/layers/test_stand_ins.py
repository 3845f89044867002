"""What stands in the place of a weight, a layer or its forward: pruning, norms of weights, wrappers."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune
from torch.utils.checkpoint import checkpoint

from dsptorch import FIR, Chain, Residual
from dsptorch.functional.timeline import Timeline
from dsptorch.layers.calling import Carry
from tests.layers.table import WIDTH, signal
from tests.layers.test_hooks import BUILD, RUN, by_step, fir, member, scaled
from tests.tolerances import assert_close


def with_fresh_numbers(layer):
    """Parameters three times as large, loaded as a checkpoint is."""
    layer.load_state_dict(
        {key: 3 * value for key, value in layer.state_dict().items() if "orig" in key}, strict=False
    )


@pytest.mark.parametrize("run", ["whole", "by step"])
@pytest.mark.parametrize("build", [lambda: Chain(fir()), lambda: Residual(Chain(fir())), fir])
def test_pruned(build, run):
    layer, x = build(), signal(2, 19)
    prune.l1_unstructured(member(layer), "weight", amount=0.5)
    for _ in range(2):  # in training, twice
        RUN[run](layer, x).square().sum().backward()
    with_fresh_numbers(layer)
    plain = build()
    member(plain).weight.data = member(layer).weight_orig * member(layer).weight_mask
    assert_close(RUN[run](layer, x), RUN[run](plain, x))


@pytest.mark.parametrize("run", ["whole", "by step"])
@pytest.mark.parametrize(
    "norm", [nn.utils.weight_norm, parametrizations.weight_norm, parametrizations.spectral_norm]
)
@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
def test_normalized_weights(norm, run):
    layer, x = Residual(Chain(fir())), signal(2, 19)
    norm(member(layer))
    layer.eval()  # in train mode the estimate of the spectral norm moves
    before = RUN[run](layer, x)
    for _ in range(2):
        RUN[run](layer, x).square().sum().backward()
    with torch.no_grad():
        next(p for p in layer.parameters() if p.grad is not None and p.grad.any()).mul_(2)
    member(layer)(x)
    plain = Residual(Chain(fir()))
    member(plain).weight.data = member(layer).weight.detach()
    assert_close(RUN[run](layer, x), RUN[run](plain, x))
    assert norm is parametrizations.spectral_norm or not torch.allclose(RUN[run](layer, x), before)


# What takes the place of a layer, or of its forward


class Wrapper(nn.Module):
    """Has the attributes of what it holds, as PyTorch's checkpoint wrapper and FSDP's do."""

    def __init__(self, held):
        super().__init__()
        self.held, self.calls = held, 0

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("held"), name)

    def forward(self, *args, **kwargs):
        self.calls += 1
        return checkpoint(self.held, *args, use_reentrant=False, **kwargs)


def test_wrapped_members_are_called():
    layer, x = Chain(fir(), Residual(fir())), signal(2, 19).requires_grad_()
    plain = copy.deepcopy(layer)
    layer.layers[0], layer.layers[1].layers[1] = Wrapper(layer.layers[0]), Wrapper(layer.layers[1].layers[1])
    for run in ("whole", "by step"):
        y, expected = RUN[run](layer, x), RUN[run](plain, x)
        assert_close(y, expected)
        for mine, its in zip(
            *(torch.autograd.grad(out.square().sum(), x) for out in (y, expected)), strict=True
        ):
            assert_close(mine, its)
    assert layer.layers[0].calls == 5
    assert layer.receptive_field == plain.receptive_field


@pytest.fixture
def _one_process(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("_one_process")
def test_sharded_members_gather_their_weights():
    from torch.distributed.fsdp import fully_shard

    layer, x = Chain(fir(), Residual(fir())), signal(2, 19)
    expected = layer(x)
    mesh = torch.distributed.device_mesh.init_device_mesh("cpu", (1,))
    for part in (layer.layers[0], layer.layers[1].layers[1], layer):
        fully_shard(part, mesh=mesh)
    assert_close(layer(x), expected)
    assert_close(by_step(layer, x), expected)
    layer(x).sum().backward()
    assert layer.layers[0].weight.grad is not None


@pytest.mark.parametrize("run", ["whole", "by step"])
def test_a_forward_that_is_wrapped_acts(run):
    layer, x = BUILD["nested"](), signal(2, 19)
    expected, inner = RUN[run](scaled(layer), x), member(layer).forward
    member(layer).forward = lambda x, **kwargs: -2 * inner(x, **kwargs)
    assert_close(RUN[run](layer, x), expected)


def test_a_forward_that_is_replaced_is_refused():
    layer = Chain(fir())
    layer.layers[0].forward = lambda x, **_: x
    with pytest.raises(RuntimeError, match="something stands in its place; let that call it"):
        layer(signal(2, 19))


@pytest.mark.parametrize("run", ["whole", "by step"])
def test_a_forward_that_takes_no_keywords_is_refused(run):
    """Whatever it does would be left out."""

    class Doubled(FIR):
        def forward(self, x):
            return 2 * super().forward(x)

    layer = Doubled(WIDTH, 3, dtype=torch.float64)
    layer(signal(2, 19))
    with pytest.raises(
        TypeError, match=r"Doubled.forward.*'carry': a layer's forward.*let it take \*\*kwargs"
    ):
        RUN[run](Chain(layer), signal(2, 19))
    with pytest.raises(TypeError, match=r"let it take \*\*kwargs"):
        layer.step(signal(2, 19))


def test_what_a_call_carries_moves_with_its_arguments():
    carry = Carry((torch.ones(2, 3), ()), Timeline(torch.zeros(2)))
    assert carry.to("meta", non_blocking=True) is carry
    assert carry.memory[0].is_meta
    assert carry.timeline.start.is_meta
