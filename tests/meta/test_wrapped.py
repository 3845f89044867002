"""Wrapped models: what works under compilation and several processes, and what is refused."""

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from dsptorch.meta import EvolutionStrategy, Implicit, MetaController, SGDRule, Unroll
from tests.meta.loops import Net, loss_of

TWICE = [Unroll(SGDRule(lr=0.1)), Implicit(SGDRule(lr=0.1))]


@pytest.fixture(scope="module")
def alone():
    """A process group of one."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield dist.group.WORLD
    dist.destroy_process_group()


def compiled_inside():
    model = nn.Sequential(Net())
    model[0].first.compile(backend="eager")
    return model


COMPILED = {
    "torch.compile": lambda: torch.compile(Net(), backend="eager"),
    "a part": lambda: nn.Sequential(torch.compile(Net(), backend="eager")),
    "a part in place": compiled_inside,
}


@pytest.mark.parametrize("estimator", TWICE, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("made", COMPILED)
def test_a_compiled_model_is_not_differentiated_twice(made, estimator):
    with pytest.raises(ValueError, match=r"differentiates twice, .*give the model itself, or use 'direct'"):
        MetaController(COMPILED[made](), estimator=estimator)


@pytest.mark.parametrize("estimator", TWICE, ids=lambda e: type(e).__name__)
def test_nor_is_a_distributed_one(estimator, alone):
    for model in (
        DistributedDataParallel(Net()),
        torch.compile(DistributedDataParallel(Net()), backend="eager"),
    ):
        with pytest.raises(ValueError, match="differentiates twice"):
            MetaController(model, estimator=estimator)


def test_sharded_parameters_are_refused(alone):
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import init_device_mesh

    model = fully_shard(nn.Linear(4, 4), mesh=init_device_mesh("cpu", (1,)))
    with pytest.raises(
        ValueError, match=r"whole on every process, got 'weight', sharded by FSDP.*DistributedDat"
    ):
        MetaController(model)
    model = Net()
    model.first._fsdp_wrapped_module = nn.Linear(4, 4)
    with pytest.raises(ValueError, match="got 'first', sharded by FSDP"):
        MetaController(model)


def trained(wrap, *, steps=6, with_val=True, estimator="direct", **kwargs):
    """The history of a run under a wrapper."""
    torch.manual_seed(0)
    model = wrap(Net(dropout=0.0))
    controller = MetaController(model, every=2, estimator=estimator, **kwargs)
    optimizer = torch.optim.SGD(controller.inner_param_groups(weight_decay=0.0), lr=0.1)
    for _ in range(steps):
        loss = loss_of(model)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        controller.step(loss, val_loss=loss_of if with_val else None)
    assert list(controller.hyperparams) == ["temperature"]
    return controller.history


@pytest.mark.parametrize("with_val", [False, True], ids=["of training", "of validation"])
def test_one_process_is_no_other(alone, with_val):
    assert trained(DistributedDataParallel, with_val=with_val) == trained(lambda m: m, with_val=with_val)
    es = EvolutionStrategy(pairs=2)
    assert trained(DistributedDataParallel, estimator=es) == trained(lambda m: m, estimator=es)
    assert trained(lambda m: m, process_group=alone) == trained(lambda m: m)


@pytest.mark.slow
@pytest.mark.parametrize("with_val", [False, True], ids=["of training", "of validation"])
@pytest.mark.parametrize("in_place", [False, True], ids=["torch.compile", "in place"])
def test_direct_under_compilation(with_val, in_place):
    def compiled(model):
        if not in_place:
            return torch.compile(model)
        model.compile()
        return model

    plain = trained(lambda m: m, with_val=with_val)
    for one, other in zip(trained(compiled, with_val=with_val), plain, strict=True):
        assert one["value"]["temperature"] == pytest.approx(other["value"]["temperature"], rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("in_place", [False, True], ids=["torch.compile", "in place"])
def test_es_under_compilation(in_place):
    def compiled(model):
        if not in_place:
            return torch.compile(model, backend="aot_eager")
        model.compile(backend="aot_eager")
        return model

    es = EvolutionStrategy(pairs=2)
    plain = trained(lambda m: m, estimator=es)
    for one, other in zip(trained(compiled, estimator=es), plain, strict=True):
        assert one["value"]["temperature"] == pytest.approx(other["value"]["temperature"], rel=1e-4)
