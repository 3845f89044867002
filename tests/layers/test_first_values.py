"""Built without memory, or reset, every layer comes to its first values: whole, or module by module."""

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.utils import prune

import dsptorch
from dsptorch import (
    FIR,
    BoundedHyperparam,
    Chain,
    ChannelBottleneck,
    Decimate,
    LFORouting,
    Multirate,
    Pointwise,
)
from dsptorch.testing import check_layer
from tests.layers.table import EVERY, WIDTH, build, signal
from tests.tolerances import assert_same

each = pytest.mark.parametrize("name", EVERY)
SENSITIVE = (
    "raw",
    "interval",
    "phase",
    "amplitude",
    "bias",
)  # of hyperparameters and gates: float32 at least


def tensors(module):
    return dict([*module.named_parameters(), *module.named_buffers()])


def first(builder):
    """The first values that are the same at every construction; None for those that are drawn."""
    seen = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        seen.append(tensors(builder()))
    return {n: t if torch.equal(t, seen[1][n]) else None for n, t in seen[0].items()}


def check_first_values(module, expected):
    found = tensors(module)
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        assert tensor.isfinite().all(), name
        if expected[name] is not None:
            assert_same(tensor.detach(), expected[name].detach().to(tensor))


def within_meta(builder):
    with torch.device("meta"):
        return builder()


def emptied(module):
    """As after to_empty, where the memory holds anything."""
    module.to_empty(device="cpu")
    for tensor in tensors(module).values():
        tensor.data.fill_(torch.nan)
    return module


def reset_whole(module):
    module.reset_parameters()


def reset_each(module):
    """As FSDP and torchtitan do it: each module in turn, those with tensors of their own at least."""
    for part in module.modules():
        if [*part.parameters(recurse=False), *part.buffers(recurse=False)]:
            part.reset_parameters()


BUILT = {
    "on the CPU": lambda builder: builder(),
    "device='meta'": lambda builder: builder(device="meta"),
    "within meta": within_meta,
}


@each
@pytest.mark.parametrize("how", BUILT)
@pytest.mark.parametrize("reset", [reset_whole, reset_each])
def test_first_values_come_back(name, how, reset):
    if name == "FIR taps" and how == "within meta":
        pytest.skip("its taps have no values then: see test_values_that_never_were_are_refused")
    layer = BUILT[how](EVERY[name])
    repr(layer)
    emptied(layer)
    reset(layer)
    check_first_values(layer, first(EVERY[name]))


def test_a_parameter_without_a_first_value_is_caught():
    class Forgets(FIR):
        def __init__(self):
            super().__init__(WIDTH)
            self.extra = nn.Parameter(torch.ones(1))

    layer = emptied(Forgets())
    layer.reset_parameters()
    with pytest.raises(AssertionError, match="extra"):
        check_first_values(layer, first(Forgets))
    with pytest.raises(AssertionError, match=r"- resets: reset_parameters leaves extra"):
        check_layer(Forgets(), skip=["compiles", "exports", "gradients", "serializes"])


@each
def test_built_without_memory(name):
    for context in (torch.device("meta"), FakeTensorMode()):
        with context:
            layer = EVERY[name]()
            assert type(layer).__name__ in repr(layer)
    layer = EVERY[name](device="meta")
    assert all(tensor.is_meta for tensor in tensors(layer).values())
    out = layer(signal(dtype=torch.float32).to("meta"))
    real = layer.to_empty(device="cpu")
    real.load_state_dict(EVERY[name]().state_dict())
    assert real(signal(dtype=torch.float32)).isfinite().all()
    assert real(signal(dtype=torch.float32)).shape == out.shape


def test_values_that_never_were_are_refused():
    with torch.device("meta"):
        taps, ratios = torch.ones(3, WIDTH), torch.ones(2)
        modules = [
            FIR(WIDTH, 3, init=taps),
            Decimate(WIDTH, 2, 3, init=taps),
            BoundedHyperparam(ratios, 0, 2),
            Chain(FIR(WIDTH, 3, init=taps)),
        ]
        with pytest.raises(ValueError, match="needs a first value, got one on the meta device"):
            Multirate(WIDTH, BoundedHyperparam(torch.ones(()), 1, 3, integer=True))
    for module in modules:
        state = {
            name: torch.ones(t.shape) for name, t in module.state_dict().items() if "interval" not in name
        }
        module.to_empty(device="cpu")
        with pytest.raises(
            ValueError, match=r"no first value for (weight|raw).*meta device; build that .*'cpu'"
        ):
            module.reset_parameters()
        module.load_state_dict(state)
    with pytest.raises(ValueError, match="no first value for weight"):
        FIR(WIDTH, 3, init=taps)


def test_real_tensors_are_taken_without_memory():
    """Tensors with values, given to constructors within a context where new ones have none."""
    taps = torch.rand(3, WIDTH)
    for context in (torch.device("meta"), FakeTensorMode()):
        with context:
            fir, ratio = FIR(WIDTH, 3, init=taps), BoundedHyperparam(taps, 0, 1)
            decimate = Decimate(WIDTH, 2, 3, init=taps)
    for module, name in ((fir, "weight"), (decimate, "weight")):
        assert_same(module.first_values()[name], taps)
    assert_same(ratio.first, BoundedHyperparam(taps, 0, 1).value)


def test_a_module_whose_first_values_are_not_known_is_refused():
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = nn.Parameter(torch.ones(WIDTH))

        def forward(self, x):
            return x * self.gain

    layer = Chain(FIR(WIDTH), Pointwise(nn.Sequential(nn.Linear(WIDTH, WIDTH), Scale()), WIDTH))
    with pytest.raises(ValueError, match="Scale has parameters or buffers and no reset_parameters"):
        layer.reset_parameters()
    pruned = FIR(WIDTH)
    prune.l1_unstructured(pruned, "weight", amount=1)
    with pytest.raises(ValueError, match="weight of its own to reset: it is parametrized or pruned"):
        pruned.reset_parameters()


def test_a_reset_draws_what_is_random_anew():
    """And the same for the same seed; as the constructor draws it, in the same range."""
    for build_layer in (lambda: LFORouting(8, 2), lambda: ChannelBottleneck(8)):
        layer, other = build_layer(), build_layer()
        before = {n: t.clone() for n, t in tensors(layer).items()}
        for module in (layer, other):
            torch.manual_seed(3)
            module.reset_parameters()
        for (n, mine), its in zip(tensors(layer).items(), tensors(other).values(), strict=True):
            assert_same(mine, its)
            if first(build_layer)[n] is None:
                assert not torch.equal(mine, before[n])
                assert mine.abs().max() < 1.5 * max(before[n].abs().max(), torch.tensor(0.3))


@each
def test_device_and_dtype(name):
    layer = EVERY[name](dtype=torch.float64, device="cpu")
    for n, tensor in tensors(layer).items():
        of_oscillators = "gate." in n or "lfo." in n
        kept = n.rpartition(".")[2] in SENSITIVE and (of_oscillators or n.endswith(("raw", "interval")))
        assert tensor.dtype == (torch.float32 if kept else torch.float64), n


@each
def test_a_default_dtype_of_half_precision_keeps_what_is_sensitive(name):
    """As from_pretrained builds a model, with dtype=torch.bfloat16."""
    expected = {n: t.dtype for n, t in build(name, torch.float32).bfloat16().named_parameters()}
    torch.set_default_dtype(torch.bfloat16)
    try:
        layer = EVERY[name]()
    finally:
        torch.set_default_dtype(torch.float32)
    assert {n: t.dtype for n, t in layer.named_parameters()} == expected
    assert all(b.dtype == torch.float32 for b in layer.buffers())


@pytest.fixture
def mesh():
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    torch.distributed.destroy_process_group()


@pytest.mark.filterwarnings("ignore:DTensor random operators:UserWarning")
def test_sharded_parameters(mesh):
    """As FSDP2 has it: built on the meta device, sharded, then given memory and values, module by module."""

    def make():
        return nn.Sequential(Multirate(WIDTH), LFORouting(WIDTH, 2), Chain(FIR(WIDTH, 3, init="lowpass")))

    model, expected = within_meta(make), first(make)
    for part in [*model, model]:
        fully_shard(part, mesh=mesh)
    reset_each(emptied(model))
    assert {type(p).__name__ for p in model.parameters()} == {"DTensor"}
    for name, parameter in model.named_parameters():
        whole = parameter.full_tensor()
        assert whole.isfinite().all(), name
        if expected[name] is not None:
            assert_same(whole.detach(), expected[name].detach())


def test_a_folded_layer_keeps_its_taps():
    folded = dsptorch.fold(Chain(FIR(WIDTH, 3, init="lowpass"), Multirate(WIDTH)))
    x, taps = signal(dtype=torch.float32), folded.weight.clone()
    y = folded(x)
    emptied(folded).reset_parameters()
    assert_same(folded.weight, taps)
    assert_same(folded(x), y)
