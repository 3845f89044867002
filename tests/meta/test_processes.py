"""Two processes with different data hold the same hyperparameters, and those of the mean hypergradient."""

import pytest
import torch
import torch.distributed as dist
from torch import multiprocessing
from torch.nn.parallel import DistributedDataParallel

from dsptorch.meta import AdamRule, Direct, EvolutionStrategy, MetaController
from tests.meta.loops import Net

STEPS, EVERY, SIZE = 6, 2, 2


def net():
    """Without what depends on the batch as a whole: the mean over processes is then that of one process."""
    torch.manual_seed(0)
    return Net(dropout=0.0).eval()


def batches(seed):
    """Fixed data: of one process, or (of none) of all of them together."""
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(SIZE, 16, 4, generator=generator)
    x = x[seed] if seed is not None else x.flatten(0, 1)
    return x, x.sum(dim=1, keepdim=True).sin()


ESTIMATORS = {
    "of training": Direct(),
    "of validation": Direct(),
    "es": EvolutionStrategy(pairs=2),
    "es over a horizon": EvolutionStrategy(AdamRule(lr=0.01), horizon=2, pairs=2),
}


def trained(name, rank=None, ddp=True, told=True):
    """The values and hypergradients of a run, on the data of one process or of all."""
    x, y = batches(rank)
    model = net()
    group = dist.group.WORLD if rank is not None and told and not ddp else None
    wrapped = DistributedDataParallel(model) if rank is not None and ddp else model
    controller = MetaController(
        wrapped,
        every=EVERY,
        estimator=ESTIMATORS[name],
        process_group=group,
        lr=0.2,
        objective=lambda losses: losses.loss,
    )
    optimizer = torch.optim.SGD(controller.inner_param_groups(weight_decay=0.0), lr=0.05)

    def loss_fn(m):
        return (m(x) - y).square().mean()

    losses = {} if name == "of training" else {"train_loss": loss_fn, "val_loss": loss_fn}
    for _ in range(STEPS):
        loss = loss_fn(wrapped)
        loss.backward()
        if rank is not None and not ddp:  # a loop that reduces the weights' gradients by hand
            for group_ in optimizer.param_groups:
                for parameter in group_["params"]:
                    dist.all_reduce(parameter.grad)
                    parameter.grad /= SIZE
        optimizer.step()
        optimizer.zero_grad()
        controller.step(loss, **losses)
    return [
        (record["value"]["temperature"], record["hypergradient"]["temperature"])
        for record in controller.history
    ]


def drawn():
    """What a validation loss draws from torch's generator."""
    numbers, model = [], net()

    def val_loss(m):
        numbers.append(torch.randn(()).item())
        return m(batches(0)[0]).square().mean()

    MetaController(model, every=1, process_group=dist.group.WORLD).step(0.5, val_loss=val_loss)
    return numbers


def work(rank, store, found):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=SIZE)
    mine = {(name, ddp): trained(name, rank, ddp) for name in ESTIMATORS for ddp in (True, False)}
    mine["untold"] = trained("of validation", rank, ddp=False, told=False)
    mine["drawn"] = drawn()
    torch.save(mine, f"{found}.{rank}")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    """What each of the processes found."""
    folder = tmp_path_factory.mktemp("processes")
    multiprocessing.spawn(work, args=(folder / "store", folder / "found"), nprocs=SIZE)
    return [torch.load(f"{folder / 'found'}.{rank}", weights_only=True) for rank in range(SIZE)]


def check_agree(found):
    assert len(found[0]) == STEPS // EVERY
    assert all(one == found[0] for one in found)


@pytest.mark.slow
@pytest.mark.parametrize("ddp", [True, False], ids=["under DDP", "by hand"])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_processes_agree(processes, name, ddp):
    check_agree([found[name, ddp] for found in processes])


@pytest.mark.slow
def test_processes_that_do_not_speak_are_seen(processes):
    with pytest.raises(AssertionError):
        check_agree([found["untold"] for found in processes])


@pytest.mark.slow
@pytest.mark.parametrize("ddp", [True, False], ids=["under DDP", "by hand"])
@pytest.mark.parametrize("name", ["of training", "of validation"])
def test_they_are_one_process_with_all_the_data(processes, name, ddp):
    whole = trained(name)
    for values in zip(processes[0][name, ddp], whole, strict=True):
        assert values[0] == pytest.approx(values[1], rel=1e-3)


@pytest.mark.slow
def test_each_process_draws_its_own_numbers(processes):
    one, other = (found["drawn"] for found in processes)
    assert one != other
