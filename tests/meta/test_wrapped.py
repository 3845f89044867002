"""Wrapped models: what works under compilation and several processes, and what is refused."""

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import init_device_mesh
from torch.nn.parallel import DistributedDataParallel

from dsptorch.meta import EvolutionStrategy, Implicit, MetaController, SGDRule, Unroll
from tests.meta.loops import Net, history


@pytest.fixture(scope="module")
def alone():
    """A process group of one."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield dist.group.WORLD
    dist.destroy_process_group()


def compiled(model, in_place=False, backend="eager"):
    if not in_place:
        return torch.compile(model, backend=backend)
    model.compile(backend=backend)
    return model


WRAPPED = {
    "torch.compile": lambda: compiled(Net()),
    "a part": lambda: nn.Sequential(compiled(Net())),
    "a part in place": lambda: nn.Sequential(nn.Sequential(Net()), compiled(nn.Linear(2, 2), in_place=True)),
    "distributed": lambda: DistributedDataParallel(Net()),
    "both": lambda: compiled(DistributedDataParallel(Net())),
}


@pytest.mark.parametrize("kind", [Unroll, Implicit])
@pytest.mark.parametrize("wrapped", WRAPPED)
def test_a_wrapped_model_is_not_differentiated_twice(wrapped, kind, alone):
    with pytest.raises(ValueError, match=r"differentiates twice, .*give the model itself, or use 'direct'"):
        MetaController(WRAPPED[wrapped](), estimator=kind(SGDRule(lr=0.1)))


def test_sharded_parameters_are_refused(alone):
    model = fully_shard(nn.Linear(4, 4), mesh=init_device_mesh("cpu", (1,)))
    expected = "whole on every process, got 'weight', sharded by FSDP.*DistributedDat"
    with pytest.raises(ValueError, match=expected):
        MetaController(model)
    model = Net()
    model.first._fsdp_wrapped_module = nn.Linear(4, 4)
    with pytest.raises(ValueError, match="got 'first', sharded by FSDP"):
        MetaController(model)


ES = EvolutionStrategy(pairs=2)


@pytest.mark.parametrize("with_val", [False, True], ids=["of training", "of validation"])
def test_one_process_is_no_other(alone, with_val):
    assert history(DistributedDataParallel, with_val=with_val) == history(with_val=with_val)
    assert history(DistributedDataParallel, estimator=ES) == history(estimator=ES)
    assert history(process_group=alone) == history()


@pytest.mark.slow
@pytest.mark.parametrize("in_place", [False, True], ids=["torch.compile", "in place"])
@pytest.mark.parametrize(
    ("backend", "arguments"),
    [
        ("inductor", {"with_val": False}),
        ("inductor", {"with_val": True}),
        ("aot_eager", {"estimator": ES}),
    ],
    ids=["of training", "of validation", "es"],
)
def test_under_compilation(backend, arguments, in_place):
    found = history(lambda net: compiled(net, in_place, backend), **arguments)
    for one, other in zip(found, history(**arguments), strict=True):
        assert one["value"]["temperature"] == pytest.approx(other["value"]["temperature"], rel=1e-4)
