"""Two processes with different data hold the same hyperparameters, and those of the mean hypergradient."""

import pytest
import torch
import torch.distributed as dist
from torch import multiprocessing
from torch.nn.parallel import DistributedDataParallel

from dsptorch.meta import AdamRule, Direct, EvolutionStrategy, MetaController
from tests.forked import start_server
from tests.meta.loops import Net, history

pytestmark = pytest.mark.slow
SIZE = 2
ESTIMATORS = {
    "of training": Direct(),
    "of validation": Direct(),
    "es": EvolutionStrategy(pairs=2),
    "es over a horizon": EvolutionStrategy(AdamRule(lr=0.01), horizon=2, pairs=2),
}


def batches(rank):
    """Fixed data: of one process, or (of none) of all of them together."""
    x = torch.randn(SIZE, 16, 4, generator=torch.Generator().manual_seed(7))
    x = x[rank] if rank is not None else x.flatten(0, 1)
    return x, x.sum(dim=1, keepdim=True).sin()


def all_reduce(gradients):
    """What a loop does that reduces the weights' gradients by hand."""
    for gradient in gradients:
        dist.all_reduce(gradient)
        gradient.div_(SIZE)


def trained(name, rank=None, ddp=True, told=True):
    """The values and hypergradients of a run, on the data of one process or of all."""
    x, y = batches(rank)
    arguments = {"lr": 0.2, "objective": lambda losses: losses.loss, "with_val": name != "of training"}
    if rank is not None and not ddp:
        arguments |= {"reduce": all_reduce, "process_group": dist.group.WORLD if told else None}

    def wrap(net):
        # In eval mode a loss of the batch as a whole is the mean of those of its parts.
        return DistributedDataParallel(net.eval()) if rank is not None and ddp else net.eval()

    records = history(wrap, lambda m: (m(x) - y).square().mean(), estimator=ESTIMATORS[name], **arguments)
    return [(r["value"]["temperature"], r["hypergradient"]["temperature"]) for r in records]


def drawn():
    """What a validation loss draws from torch's generator."""
    numbers = []

    def val_loss(m):
        numbers.append(torch.randn(()).item())
        return m(batches(0)[0]).square().mean()

    torch.manual_seed(0)
    MetaController(Net(), every=1, process_group=dist.group.WORLD).step(0.5, val_loss=val_loss)
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
    start_server()
    multiprocessing.start_processes(
        work, args=(folder / "store", folder / "found"), nprocs=SIZE, start_method="forkserver"
    )
    return [torch.load(f"{folder / 'found'}.{rank}", weights_only=True) for rank in range(SIZE)]


def check_agree(found):
    assert len(found[0]) == 3
    assert all(one == found[0] for one in found)


@pytest.mark.parametrize("ddp", [True, False], ids=["under DDP", "by hand"])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_processes_agree(processes, name, ddp):
    check_agree([found[name, ddp] for found in processes])


def test_processes_that_do_not_speak_are_seen(processes):
    with pytest.raises(AssertionError):
        check_agree([found["untold"] for found in processes])


@pytest.mark.parametrize("ddp", [True, False], ids=["under DDP", "by hand"])
@pytest.mark.parametrize("name", ["of training", "of validation"])
def test_they_are_one_process_with_all_the_data(processes, name, ddp):
    for values in zip(processes[0][name, ddp], trained(name), strict=True):
        assert values[0] == pytest.approx(values[1], rel=1e-3)


def test_each_process_draws_its_own_numbers(processes):
    one, other = (found["drawn"] for found in processes)
    assert one != other
